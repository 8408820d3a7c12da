//! What a real-time thread does with a pool, all of it in turn: shared by the tests that guard it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wavepool::event_bus::{DispatcherThread, Published, Publisher, Subscription, TypedEventBus};
use wavepool::modules::data_management::pool_events::{
    BufferPoolAllocation, BufferPoolRecycling, PoolExhausted,
};
use wavepool::modules::data_management::{
    AttachPublisher, BufferPool, BufferRef, PoolControl, PoolError, PoolFigures, PooledBuffer,
    RealtimePool, Scratch,
};

/// Buffers on their way to the other thread.
const UNDER_WAY: usize = 16;
const FRAMES: u64 = 128;

/// What leaves the real-time thread, to be dropped elsewhere.
pub(crate) enum Sent {
    Owned(PooledBuffer),
    Shared(BufferRef),
}

/// The real-time side.
pub(crate) struct RealtimeLoop {
    half: RealtimePool,
    out: rtrb::Producer<Sent>,
    own: Publisher,
    frame: u64,
    /// Operations so far, refused ones included.
    pub(crate) operations: u64,
    /// Events that found a subscriber.
    pub(crate) queued: u64,
}

/// Everybody else: a thread that drops what it is sent, one that runs the control half, the dispatcher.
pub(crate) struct Others {
    releasing: JoinHandle<()>,
    controlling: JoinHandle<PoolControl>,
    stop: Arc<AtomicBool>,
    _dispatcher: DispatcherThread,
    _subscriptions: [Subscription; 3],
}

/// A pool with everything attached, and its threads at work.
pub(crate) fn start() -> (RealtimeLoop, Others) {
    let (mut control, mut half) = BufferPool::builder()
        .class(64, 4)
        .class(256, 64)
        .class(1024, 64)
        .class(4096, 8)
        .limit_samples(1 << 20)
        .build()
        .expect("pool");
    let bus = TypedEventBus::default();
    half.attach_publisher(bus.publisher().expect("publisher"))
        .expect("attached");
    control
        .attach_publisher(bus.publisher().expect("publisher"))
        .expect("attached");
    let own = bus.publisher().expect("publisher");
    let subscriptions = [
        bus.subscribe(|_: &BufferPoolAllocation| ()).expect("room"),
        bus.subscribe(|_: &BufferPoolRecycling| ()).expect("room"),
        bus.subscribe(|_: &PoolExhausted| ()).expect("room"),
    ];
    let dispatcher = DispatcherThread::spawn(&bus).expect("thread");
    let stop = Arc::<AtomicBool>::default();
    let (out, mut there) = rtrb::RingBuffer::new(UNDER_WAY);
    let stopped = stop.clone();
    let releasing = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            match there.pop() {
                Ok(Sent::Owned(buffer)) => drop(buffer),
                Ok(Sent::Shared(buffer)) => drop((buffer.clone(), buffer)),
                Err(_) => thread::yield_now(),
            }
        }
    });
    let stopped = stop.clone();
    let controlling = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            // An owner that the system does not run gives nothing back meanwhile.
            let grown = control.grow(1024, 2);
            assert!(matches!(
                grown,
                Ok(()) | Err(PoolError::LimitReached { .. })
            ));
            control.step(64);
            control.trim(1024, 32).expect("a class");
            control.step(64);
            std::hint::black_box(control.metrics());
            thread::sleep(Duration::from_micros(200));
        }
        control
    });
    let audio = RealtimeLoop {
        half,
        out,
        own,
        frame: 0,
        operations: 0,
        queued: 0,
    };
    let others = Others {
        releasing,
        controlling,
        stop,
        _dispatcher: dispatcher,
        _subscriptions: subscriptions,
    };
    (audio, others)
}

impl Others {
    /// Ends the threads; what is left of the pool must be whole.
    #[allow(dead_code, reason = "not every guard survives its own test")]
    pub(crate) fn finish(self, audio: RealtimeLoop) {
        self.stop.store(true, Ordering::Relaxed);
        self.releasing.join().expect("releasing thread");
        let control = self.controlling.join().expect("controlling thread");
        drop(audio);
        assert_eq!(control.leased(), 0);
        assert!(control.is_valid());
    }
}

impl RealtimeLoop {
    /// One callback.
    pub(crate) fn quantum(&mut self) {
        self.frame += FRAMES;
        self.half.begin_quantum(self.frame);
        self.operations += 1;
        self.scratches();
        self.owned();
        self.shared();
        self.planar();
        self.refused();
        let event = BufferPoolRecycling {
            class_samples: 256,
            count: 0,
            half: self.half.id(),
            first_frame: Some(self.frame),
        };
        if self.own.publish(event) != Published::Idle {
            self.queued += 1;
        }
        self.operations += 1;
    }

    fn scratches(&mut self) {
        let (mut one, mut two) = (scratch(&self.half, 128), scratch(&self.half, 1000));
        one[0] = 1.0;
        two[0] = one[0];
        // First in, first out, for once.
        drop(one);
        drop(two);
        self.operations += 4;
    }

    fn owned(&mut self) {
        let here = self.half.acquire(200).expect("idle buffer");
        let silent = self.half.acquire_silent(64).expect("idle buffer");
        assert_eq!(silent[0], 0.0);
        self.half.release(here);
        drop(silent);
        self.operations += 4;
        if let Ok(buffer) = self.half.acquire(1024) {
            self.send(Sent::Owned(buffer));
        }
        self.operations += 2;
    }

    fn shared(&mut self) {
        let shared = self.half.acquire(256).expect("idle buffer").freeze();
        let other = shared.clone();
        drop(shared);
        self.send(Sent::Shared(other));
        self.operations += 5;
    }

    fn planar(&mut self) {
        let planar = self.half.acquire_planar(2, 256).expect("idle buffers");
        let shared = planar.freeze();
        let other = shared.clone();
        drop(shared);
        drop(other);
        let planar = self.half.acquire_planar(2, 256).expect("idle buffers");
        self.half.release_planar(planar);
        self.operations += 5 + 4;
    }

    /// What cannot be had.
    fn refused(&mut self) {
        let all: [_; 4] = std::array::from_fn(|_| self.half.scratch(64));
        let refused = self.half.acquire(50).err();
        assert!(matches!(refused, Some(PoolError::Exhausted { .. })));
        drop(all);
        let refused = self.half.acquire(5000).err();
        assert!(matches!(refused, Some(PoolError::TooLarge { .. })));
        let refused = self.half.acquire_planar(16, 4096).err();
        assert!(matches!(refused, Some(PoolError::Exhausted { .. })));
        self.operations += 4 + 4 + 2 + 16;
    }

    fn send(&mut self, buffer: Sent) {
        if let Err(rtrb::PushError::Full(buffer)) = self.out.push(buffer) {
            match buffer {
                Sent::Owned(buffer) => self.half.release(buffer),
                Sent::Shared(buffer) => drop(buffer),
            }
        }
    }
}

fn scratch(half: &RealtimePool, samples: usize) -> Scratch<'_> {
    half.scratch(samples).expect("idle buffer")
}
