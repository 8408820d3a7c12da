//! The events of the pool. Every event is published where its cause occurs, with measured numbers.

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

        /// Declares every pool event on a bus, so that dashboards see the types before the first event.
        ///
        /// # Errors
        /// The bus's error, if it has too many types.
        pub fn declare_all(bus: &crate::event_bus::TypedEventBus) -> Result<(), crate::event_bus::BusError> {
            $(bus.declare::<$Name>()?;)*
            Ok(())
        }

        /// Declares them on the bus of a publisher.
        pub(super) fn declare_for(publisher: &crate::event_bus::Publisher) -> Result<(), crate::event_bus::BusError> {
            $(publisher.declare::<$Name>()?;)*
            Ok(())
        }

        /// The names of all pool events.
        pub const NAMES: &[&str] = &[$(stringify!($Name)),*];
    };
}

events! {
    /// Buffers were acquired: one, or all the `Scratch` buffers of one class in the quantum that ended.
    BufferPoolAllocation: Critical {
        /// Size of the class that served the request.
        class_samples: u32,
        /// Requested samples; 0 for the aggregate.
        requested: u32,
        /// The buffer's number; `u32::MAX` for the aggregate.
        slot: u32,
        /// The number of buffers.
        count: u32,
        /// The half that served the request.
        half: u16,
        /// First frame of the quantum; `None` before the first one, or for a half without a stream.
        first_frame: Option<u64>,
    }
    /// Buffers were released: on their own half, into its inbox, or as the `Scratch` buffers of a quantum. Buffers that
    /// another thread dropped are published in the next quantum of their half; if more than 64 of a class were dropped at a
    /// time, when its free list is empty; without an owner of the half, by the control half.
    BufferPoolRecycling: Critical {
        /// Size of their class.
        class_samples: u32,
        /// The number of buffers.
        count: u32,
        /// The half to which they belong.
        half: u16,
        /// First frame of the quantum; `None` before the first one, or for a half without a stream.
        first_frame: Option<u64>,
    }
    /// A request failed because no buffer was idle.
    PoolExhausted: Critical {
        /// Size of the class that would have served the request.
        class_samples: u32,
        /// Requested samples.
        requested: u32,
        /// Buffers of that class and half, all of which are in use or reserved.
        carved: u32,
        /// The half that refused the request.
        half: u16,
        /// First frame of the quantum; `None` before the first one, or for a half without a stream.
        first_frame: Option<u64>,
    }
    /// The leases of a participant that died were reclaimed.
    LeasesReclaimed: Critical {
        /// The participant's number.
        holder: u32,
        /// Reclaimed buffers.
        count: u32,
        /// First frame of the last quantum; `None` if there was none.
        first_frame: Option<u64>,
    }
    /// A sizing plan was applied.
    PoolOptimization: High {
        /// Number of applied steps.
        steps: u32,
        /// Buffers carved.
        buffers_added: u32,
        /// Buffers that are being returned to the arena.
        buffers_removed: u32,
        /// Number of size classes afterwards.
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
        /// The number of buffers.
        count: u32,
        /// Carved sample bytes.
        bytes_held: u64,
        /// Sample bytes of the arena.
        bytes_reserved: u64,
    }
    /// The hit rate is too low: too few requests are served by their own class.
    HitRateLow: High {
        /// Hit rate of the requests since the last measurement.
        hit_rate_percentage: f32,
        /// The share below which this is published.
        threshold_percentage: f32,
        /// Requests since the pool was made.
        total_allocations: u64,
        /// Requests that missed.
        pool_misses: u64,
    }
    /// Too much free memory is in runs that are too short.
    PoolFragmentation: Normal {
        /// Percentage of the arena.
        fragmentation_percentage: f32,
        /// The share above which this is published.
        threshold_percentage: f32,
        /// Length of the longest free run.
        largest_free_run_samples: u64,
    }
    /// The measured reduction of garbage in JavaScript.
    JSGCPressureReduction: Normal {
        /// The reduction in percent.
        reduction_percentage: f32,
        /// Bytes allocated in JavaScript.
        bytes_allocated: u64,
        /// Bytes that would have been allocated without a pool.
        bytes_unpooled: u64,
        /// Number of JavaScript objects made.
        objects: u64,
    }
    /// The pool's tables need too much memory compared with the samples.
    MemoryOverheadHigh: Normal {
        /// Overhead as a percentage of the sample memory.
        overhead_percentage: f32,
        /// The share above which this is published.
        threshold_percentage: f32,
        /// Overhead in bytes.
        overhead_bytes: u64,
    }
    /// A buffer is still in use although its holder has ended or its stream was closed.
    BufferLeaked: Normal {
        /// The buffer's number.
        slot: u32,
        /// Size of its class.
        class_samples: u32,
        /// Samples that its holder requested.
        requested: u32,
        /// First frame of the quantum in which it was acquired, if that was sampled.
        first_frame: Option<u64>,
    }
    /// The main figures of the pool, at regular intervals.
    PoolMetricsSnapshot: Normal {
        /// Requests.
        total_allocations: u64,
        /// Requests that missed.
        pool_misses: u64,
        /// Sample bytes carved.
        bytes_held: u64,
        /// Sample bytes of the arena.
        bytes_reserved: u64,
        /// Buffers in use.
        leased: u32,
        /// Failed requests.
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
