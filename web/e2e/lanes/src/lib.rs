//! The page's WebAssembly module with one module more in its registry, which the host boots unseen. Its handlers mark in the
//! browser's trace when an event of each lane has reached them; a worklet beside the tuner's publishes the events.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code)] // An export for the worklet, and the publisher that it finds by its address.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use serde::Serialize;
use wasm_bindgen::prelude::*;
use wavepool::event_bus::{Event, Priority, Published, Publisher, Subscription};
use wavepool::registry::{
    InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, Version,
};
pub use wavepool_host::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = timeStamp)]
    fn mark(what: &str);
}

macro_rules! events {
    ($($Name:ident $priority:ident,)*) => {$(
        #[derive(Clone, Copy, Serialize)]
        struct $Name {
            quantum: u32,
            /// The last of its lane in the quantum: the one that is marked.
            last: bool,
        }
        impl Event for $Name {
            const NAME: &'static str = stringify!($Name);
            const PRIORITY: Priority = Priority::$priority;
        }
    )*};
}

events! {
    Urgent Critical,
    Soon High,
    Flood Normal,
}

/// Moved to the worklet, which has no other way to be given it. Null until the module is initialised.
static PUBLISHER: AtomicPtr<Publisher> = AtomicPtr::new(ptr::null_mut());

wavepool::inventory::submit! {
    ModuleRegistration {
        descriptor: ModuleDescriptor { name: "lane_marks", version: Version(0, 1, 0), dependencies: &[] },
        construct: || Box::new(LaneMarks { subscriptions: Vec::new() }),
    }
}

struct LaneMarks {
    subscriptions: Vec<Subscription>,
}

impl Module for LaneMarks {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let bus = ctx.bus();
        self.subscriptions = vec![
            bus.subscribe(|event: &Urgent| mark(&format!("critical {}", event.quantum)))?,
            bus.subscribe(|event: &Soon| mark(&format!("high {}", event.quantum)))?,
            bus.subscribe(|event: &Flood| {
                if event.last {
                    mark(&format!("normal {}", event.quantum));
                }
            })?,
        ];
        let publisher = Box::into_raw(Box::new(bus.publisher()?));
        // Release pairs with the Acquire in `lanes_publish`.
        PUBLISHER.store(publisher, Ordering::Release);
        Ok(())
    }
}

/// One quantum's events: the flood, then one of each other lane. Returns how many found their lane full.
///
/// # Safety
/// Called by one thread alone.
#[unsafe(no_mangle)]
unsafe extern "C" fn lanes_publish(quantum: u32, flood: u32) -> u32 {
    // SAFETY: null or made by `Box::into_raw` and never freed; seen with Acquire. A publisher belongs to one thread, and
    // the caller says that this is the only one that calls.
    let Some(publisher) = (unsafe { PUBLISHER.load(Ordering::Acquire).as_ref() }) else {
        return flood + 2;
    };
    let mut dropped = 0;
    let mut count = |fate| dropped += u32::from(fate != Published::Queued);
    for left in (0..flood).rev() {
        count(publisher.publish(Flood {
            quantum,
            last: left == 0,
        }));
    }
    count(publisher.publish(Soon {
        quantum,
        last: true,
    }));
    count(publisher.publish(Urgent {
        quantum,
        last: true,
    }));
    dropped
}
