//! The watchdog reports a handler, or a call of a module, that does not return: within a second, to any other thread, and only
//! until it returns.

use std::sync::mpsc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use wavepool::event_bus::{
    DispatcherHealth, DispatcherThread, Event, Priority, StuckHandler, TypedEventBus,
};
use wavepool::registry::{
    CallTracker, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration,
    ModuleRegistry, Version, Watchdog,
};

use super::{OnDrop, Urgent, returns, until};

/// Blocks the thread that passes it until the key opens it.
struct Gate {
    entered: mpsc::Sender<()>,
    opened: mpsc::Receiver<()>,
}

struct Key {
    entered: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

fn gate() -> (Gate, Key) {
    let (entered, inside) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let key = Key {
        entered: inside,
        open,
    };
    (Gate { entered, opened }, key)
}

impl Gate {
    fn pass(&self) {
        self.entered.send(()).unwrap();
        self.opened.recv().unwrap();
    }
}

/// The longest time until a stuck call has to be reported.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// Checks that the handler is reported while it is inside the gate, and no longer afterwards.
fn reported_until_it_returns(
    bus: &TypedEventBus,
    dispatcher: &DispatcherThread,
    key: &Key,
) -> StuckHandler {
    key.entered.recv().unwrap();
    let stuck = || match dispatcher.health() {
        DispatcherHealth::Stuck(handler) => Some(handler),
        DispatcherHealth::Running => None,
        DispatcherHealth::Ended => panic!("the dispatcher ended"),
    };
    let waited = until("the handler is reported", || stuck().is_some());
    assert!(waited < MAX_DELAY, "{waited:?}");
    assert!(
        waited > Duration::from_millis(300),
        "not before it is stuck"
    );
    let handler = stuck().unwrap();
    assert!(handler.running_for >= Duration::from_millis(500));
    // The bus can be used meanwhile.
    let _ = (bus.stats(), bus.publisher().unwrap(), bus.stuck_handler());
    key.open.send(()).unwrap();
    until("the handler has returned", || {
        dispatcher.health() == DispatcherHealth::Running
    });
    handler
}

#[test]
fn watchdog_reports_a_handler_that_does_not_return() {
    returns("a watched dispatcher", || {
        let bus = TypedEventBus::default();
        let (gate, key) = gate();
        let guard = bus.subscribe(move |_: &Urgent| gate.pass()).unwrap();
        let publisher = bus.publisher().unwrap();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();
        assert_eq!(dispatcher.health(), DispatcherHealth::Running);
        for _ in 0..2 {
            publisher.publish(Urgent(0));
            let handler = reported_until_it_returns(&bus, &dispatcher, &key);
            assert_eq!(handler.event, Some("Urgent"));
            assert!(
                handler.subscriber.contains("watchdog_reports_a_handler"),
                "{}",
                handler.subscriber
            );
        }
        drop(guard);
    });
}

#[test]
fn watchdog_reports_serialize_and_drops_that_do_not_return() {
    static SERIALIZE: std::sync::Mutex<Option<Gate>> = std::sync::Mutex::new(None);

    #[derive(Clone, Copy)]
    struct Slow;
    impl Serialize for Slow {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            SERIALIZE.lock().unwrap().as_ref().unwrap().pass();
            serializer.serialize_unit()
        }
    }
    impl Event for Slow {
        const NAME: &'static str = "Slow";
        const PRIORITY: Priority = Priority::Normal;
    }

    returns("a watched dispatcher", || {
        let bus = TypedEventBus::default();
        let dispatcher = DispatcherThread::spawn(&bus).unwrap();

        let (in_serialize, key) = gate();
        *SERIALIZE.lock().unwrap() = Some(in_serialize);
        bus.declare::<Slow>().unwrap();
        let json = bus.subscribe_json(|_| ());
        bus.publisher().unwrap().publish(Slow);
        let handler = reported_until_it_returns(&bus, &dispatcher, &key);
        assert_eq!(
            (handler.event, handler.subscriber),
            (Some("Slow"), "Serialize")
        );
        drop(json);

        let (in_drop, key) = gate();
        let captured = std::sync::Mutex::new(OnDrop(move || in_drop.pass()));
        let mut publisher = bus.publisher().unwrap();
        publisher
            .add_inline(move |_: &Urgent| drop(captured.lock()))
            .unwrap();
        drop(publisher);
        let handler = reported_until_it_returns(&bus, &dispatcher, &key);
        assert_eq!(handler.event, None);
        assert!(
            handler.to_string().contains("has not returned for"),
            "{handler}"
        );
    });
}

/// A module that passes its gate in one of its calls.
struct Stuck {
    gate: Option<Gate>,
    tracker: Option<CallTracker>,
    stuck_in: &'static str,
}

/// The gate of the module, which its `init` takes, and the name of the call that passes it.
struct StuckIn(std::sync::Mutex<Option<Gate>>, &'static str);

impl Stuck {
    fn at(&self, call: &str) {
        if self.stuck_in == call {
            self.gate.as_ref().unwrap().pass();
        }
    }

    fn step(&mut self) {
        let _call = self.tracker.as_ref().unwrap().enter("step");
        self.at("step");
    }
}

impl Module for Stuck {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let StuckIn(gate, call) = ctx.config().ok_or("there is no gate")?;
        self.gate = gate.lock().unwrap().take();
        self.stuck_in = call;
        self.tracker = Some(ctx.call_tracker());
        self.at("init");
        Ok(())
    }

    fn start(&mut self) -> Result<(), ModuleError> {
        self.at("start");
        Ok(())
    }

    fn stop(&mut self) {
        self.at("stop");
    }

    fn health(&self) -> Health {
        self.at("health");
        Health::Healthy
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.at("drop");
    }
}

const STUCK: ModuleRegistration = ModuleRegistration {
    descriptor: ModuleDescriptor {
        name: "stuck",
        version: Version(1, 0, 0),
        dependencies: &[],
    },
    construct: || {
        Box::new(Stuck {
            gate: None,
            tracker: None,
            stuck_in: "",
        })
    },
};

/// Waits until the watchdog reports this one call, then lets it return.
fn call_reported_until_it_returns(watchdog: &Watchdog, key: &Key, call: &str) {
    key.entered.recv().unwrap();
    let waited = until("the call is reported", || {
        !watchdog.stuck_calls().is_empty()
    });
    assert!(waited < MAX_DELAY, "{call}: {waited:?}");
    let stuck = watchdog.stuck_calls();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!((stuck[0].module, stuck[0].call.as_str()), ("stuck", call));
    let text = stuck[0].to_string();
    let begins = format!("module `stuck` has not returned from `{call}` for ");
    assert!(text.starts_with(&begins), "{text}");
    key.open.send(()).unwrap();
    until("the call has returned", || {
        watchdog.stuck_calls().is_empty()
    });
}

#[test]
fn watchdog_reports_every_call_of_a_module() {
    // Each call in a registry of its own, all in parallel.
    let watching = ["init", "start", "health", "step", "stop", "drop"].map(|call| {
        std::thread::spawn(move || {
            let (gate, key) = gate();
            let builder = ModuleRegistry::empty_builder(TypedEventBus::default())
                .configure(StuckIn(Some(gate).into(), call))
                .register(STUCK);
            let watchdog = builder.watchdog();
            let host = std::thread::spawn(move || {
                let mut registry = builder.boot().unwrap();
                let health = registry.health();
                assert_eq!(health[0].health, Health::Healthy);
                registry.get_mut::<Stuck>().unwrap().step();
                registry.shutdown().unwrap();
            });
            call_reported_until_it_returns(&watchdog, &key, call);
            returns("the host", move || host.join().unwrap());
        })
    });
    for thread in watching {
        returns("watching", move || thread.join().unwrap());
    }
}

#[test]
fn watchdog_of_the_registry_reports_handlers() {
    returns("a watched registry", || {
        let bus = TypedEventBus::default();
        let registry = ModuleRegistry::empty_builder(bus.clone()).boot().unwrap();
        let watchdog = registry.watchdog();
        let (gate, key) = gate();
        let _guard = bus.subscribe(move |_: &Urgent| gate.pass()).unwrap();
        bus.publisher().unwrap().publish(Urgent(0));
        let pumping = std::thread::spawn(move || bus.pump(1));
        key.entered.recv().unwrap();
        until("the handler is reported", || {
            !watchdog.stuck_calls().is_empty()
        });
        let stuck = &watchdog.stuck_calls()[0];
        assert_eq!(stuck.module, "event_bus");
        assert!(stuck.call.contains("(Urgent)"), "{}", stuck.call);
        key.open.send(()).unwrap();
        pumping.join().unwrap();
        assert_eq!(watchdog.stuck_calls(), []);
    });
}

/// A module whose own thread is stuck while the registry reads the module's health.
struct Threaded {
    tracker: Option<CallTracker>,
}

impl Module for Threaded {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        self.tracker = Some(ctx.call_tracker());
        Ok(())
    }

    fn health(&self) -> Health {
        Health::Healthy
    }
}

#[test]
fn health_of_a_module_with_a_stuck_call_is_failed_until_it_returns() {
    let registry = ModuleRegistry::empty_builder(TypedEventBus::default())
        .register(ModuleRegistration {
            construct: || Box::new(Threaded { tracker: None }),
            ..STUCK
        })
        .boot()
        .unwrap();
    let tracker = registry.get::<Threaded>().unwrap().tracker.clone().unwrap();
    let (gate, key) = gate();
    let thread = std::thread::spawn(move || {
        let _call = tracker.enter("step");
        gate.pass();
    });
    key.entered.recv().unwrap();
    assert_eq!(registry.health()[0].health, Health::Healthy, "not yet");
    let failed = || matches!(registry.health()[0].health, Health::Failed(_));
    let waited = until("the call is reported", failed);
    assert!(waited < MAX_DELAY, "{waited:?}");
    let Health::Failed(why) = registry.health().remove(0).health else {
        panic!("the call has returned");
    };
    assert!(
        why.starts_with("has not returned from `step` for "),
        "{why}"
    );
    key.open.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(registry.health()[0].health, Health::Healthy);
}
