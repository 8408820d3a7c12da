//! What the pool tells the bus. Every event is published from the place where the thing happens, with its real numbers.

use serde::Serialize;

use crate::event_bus::{Event, Priority};

macro_rules! events {
    ($($(#[$attribute:meta])* $Name:ident: $priority:ident {
        $($(#[$field_attribute:meta])* $field:ident: $ty:ty,)*
    })*) => {
        $(
            $(#[$attribute])*
            #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
            pub struct $Name {
                $($(#[$field_attribute])* pub $field: $ty,)*
            }

            impl Event for $Name {
                const NAME: &'static str = stringify!($Name);
                const PRIORITY: Priority = Priority::$priority;
            }
        )*

        /// Makes every pool event known to a bus, so that dashboards see its type before the first one comes.
        ///
        /// # Errors
        /// The bus's, when it has no room for more types.
        pub fn declare_all(bus: &crate::event_bus::TypedEventBus) -> Result<(), crate::event_bus::BusError> {
            $(bus.declare::<$Name>()?;)*
            Ok(())
        }

        /// The same, on the bus of a publisher.
        pub(super) fn declare_for(publisher: &crate::event_bus::Publisher) -> Result<(), crate::event_bus::BusError> {
            $(publisher.declare::<$Name>()?;)*
            Ok(())
        }

        /// The names of all pool events.
        pub const NAMES: &[&str] = &[$(stringify!($Name)),*];
    };
}

events! {
    /// Buffers were handed out: one, or all the `Scratch` buffers of one class in the quantum that ended.
    BufferPoolAllocation: Critical {
        /// Size of the class that served it.
        class_samples: u32,
        /// Samples asked for; 0 for the aggregate.
        requested: u32,
        /// The buffer's number; `u32::MAX` for the aggregate.
        slot: u32,
        /// How many.
        count: u32,
        /// Which half served it.
        half: u16,
        /// First frame of the quantum; none before the first, or on a half that follows no stream.
        first_frame: Option<u64>,
    }
    /// Buffers came back: released on their own half, found in its inbox, or the `Scratch` buffers of a quantum. What was
    /// dropped elsewhere is published in the next quantum of its half; more than 64 of a class at once, when its list runs dry;
    /// without a half, by the control half.
    BufferPoolRecycling: Critical {
        /// Size of their class.
        class_samples: u32,
        /// How many.
        count: u32,
        /// Which half they belong to.
        half: u16,
        /// First frame of the quantum; none before the first, or on a half that follows no stream.
        first_frame: Option<u64>,
    }
    /// A request found no idle buffer and was refused.
    PoolExhausted: Critical {
        /// Size of the class that would have served it.
        class_samples: u32,
        /// Samples asked for.
        requested: u32,
        /// Buffers of that class this half owns, all of them in use or reserved.
        carved: u32,
        /// Which half refused it.
        half: u16,
        /// First frame of the quantum; none before the first, or on a half that follows no stream.
        first_frame: Option<u64>,
    }
    /// What a dead participant held was taken back.
    LeasesReclaimed: Critical {
        /// Its number.
        holder: u32,
        /// Buffers taken back.
        count: u32,
        /// First frame of the last quantum seen; none where there was none.
        first_frame: Option<u64>,
    }
    /// A sizing plan was applied.
    PoolOptimization: High {
        /// Steps done.
        steps: u32,
        /// Buffers carved.
        buffers_added: u32,
        /// Buffers on their way back to the arena.
        buffers_removed: u32,
        /// Size classes afterwards.
        classes: u32,
        /// Sample bytes carved before.
        bytes_held_before: u64,
        /// Sample bytes carved afterwards.
        bytes_held_after: u64,
    }
    /// Buffers were carved for a class.
    PoolGrown: High {
        /// Size of the class.
        class_samples: u32,
        /// How many.
        count: u32,
        /// Sample bytes carved now.
        bytes_held: u64,
        /// Sample bytes the arena has now.
        bytes_reserved: u64,
    }
    /// Too few requests are served from their own class.
    HitRateLow: High {
        /// Share of the requests since the last look.
        hit_rate_percentage: f32,
        /// The share below which this is published.
        threshold_percentage: f32,
        /// Requests since the pool was made.
        total_allocations: u64,
        /// How many of them missed.
        pool_misses: u64,
    }
    /// Free memory lies in too short runs.
    PoolFragmentation: Normal {
        /// Share of the arena.
        fragmentation_percentage: f32,
        /// The share above which this is published.
        threshold_percentage: f32,
        /// Longest free run.
        largest_free_run_samples: u64,
    }
    /// What the bridge spared JavaScript's garbage collector, when it was measured.
    JSGCPressureReduction: Normal {
        /// The reduction.
        reduction_percentage: f32,
        /// Bytes really allocated in JavaScript.
        bytes_allocated: u64,
        /// Bytes the unpooled path takes for the same crossings.
        bytes_unpooled: u64,
        /// JavaScript objects created.
        objects: u64,
    }
    /// The pool's own tables take too much beside the samples.
    MemoryOverheadHigh: Normal {
        /// Overhead against sample memory.
        overhead_percentage: f32,
        /// The share above which this is published.
        threshold_percentage: f32,
        /// Overhead in bytes.
        overhead_bytes: u64,
    }
    /// A buffer is still held although its holder is gone or its stream closed.
    BufferLeaked: Normal {
        /// The buffer's number.
        slot: u32,
        /// Size of its class.
        class_samples: u32,
        /// Samples its holder asked for.
        requested: u32,
        /// First frame of the quantum in which it was acquired, where that was sampled.
        first_frame: Option<u64>,
    }
    /// The pool's main figures, at a steady pace.
    PoolMetricsSnapshot: Normal {
        /// Requests.
        total_allocations: u64,
        /// How many of them missed.
        pool_misses: u64,
        /// Sample bytes carved.
        bytes_held: u64,
        /// Sample bytes of the arena.
        bytes_reserved: u64,
        /// Buffers in somebody's hands.
        leased: u32,
        /// Requests refused.
        exhausted: u32,
        /// Fragmentation.
        fragmentation_percentage: f32,
        /// Overhead; NaN (`null` in JSON) without sample memory.
        memory_overhead_percentage: f32,
    }
}

#[cfg(test)]
#[path = "pool_events_tests.rs"]
mod tests;
