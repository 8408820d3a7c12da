//! What the pool reports while it runs, as plain numbers, and to whom.
//!
//! The pool knows no event bus: a [`PoolObserver`] receives each report in the call in which the thing happens. See
//! `docs/decisions/0050-pool-reports-to-a-boxed-observer.md`.

/// Buffers were acquired: one, or all the `Scratch` buffers of one class in the quantum that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BufferPoolAllocation {
    /// Size of the class that served the request.
    pub class_samples: u32,
    /// Requested samples; 0 for the aggregate.
    pub requested: u32,
    /// The buffer's number; `u32::MAX` for the aggregate.
    pub slot: u32,
    /// The number of buffers.
    pub count: u32,
    /// The half that served the request.
    pub half: u16,
    /// First frame of the quantum; `None` before the first one, or for a half without a stream.
    pub first_frame: Option<u64>,
}

/// Buffers were released: on their own half, into its inbox, or as the `Scratch` buffers of a quantum. Buffers that
/// another thread dropped are published in the next quantum of their half; if more than 64 of a class were dropped at a
/// time, when its free list is empty; without an owner of the half, by the control half.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BufferPoolRecycling {
    /// Size of their class.
    pub class_samples: u32,
    /// The number of buffers.
    pub count: u32,
    /// The half to which they belong.
    pub half: u16,
    /// First frame of the quantum; `None` before the first one, or for a half without a stream.
    pub first_frame: Option<u64>,
}

/// A request failed because no buffer was idle.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolExhausted {
    /// Size of the class that would have served the request.
    pub class_samples: u32,
    /// Requested samples.
    pub requested: u32,
    /// Buffers of that class and half, all of which are in use or reserved.
    pub carved: u32,
    /// The half that refused the request.
    pub half: u16,
    /// First frame of the quantum; `None` before the first one, or for a half without a stream.
    pub first_frame: Option<u64>,
}

/// The leases of a participant that died were reclaimed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LeasesReclaimed {
    /// The participant's number.
    pub holder: u32,
    /// Reclaimed buffers.
    pub count: u32,
    /// First frame of the last quantum; `None` if there was none.
    pub first_frame: Option<u64>,
}

/// Buffers were carved for a class.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolGrown {
    /// Size of the class.
    pub class_samples: u32,
    /// The number of buffers.
    pub count: u32,
    /// Carved sample bytes.
    pub bytes_held: u64,
    /// Sample bytes of the arena.
    pub bytes_reserved: u64,
}

/// A buffer is still in use although its holder has ended or its stream was closed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BufferLeaked {
    /// The buffer's number.
    pub slot: u32,
    /// Size of its class.
    pub class_samples: u32,
    /// Samples that its holder requested.
    pub requested: u32,
    /// First frame of the quantum in which it was acquired, if that was sampled.
    pub first_frame: Option<u64>,
}

/// Receives what a half of the pool reports. Every method does nothing unless it is implemented.
///
/// # Real-time
/// A real-time half calls its observer on the audio thread, within the operation that it reports: its methods must not
/// allocate, block or panic there.
pub trait PoolObserver: Send {
    /// Whether allocations and recyclings are to be reported. A real-time half asks once per quantum: while the answer
    /// is `false`, they cost nothing.
    fn is_subscribed(&self) -> bool {
        true
    }

    /// Buffers were acquired.
    fn allocated(&self, _report: BufferPoolAllocation) {}

    /// Buffers came back.
    fn recycled(&self, _report: BufferPoolRecycling) {}

    /// A request was refused.
    fn exhausted(&self, _report: PoolExhausted) {}

    /// A class grew.
    fn grown(&self, _report: PoolGrown) {}

    /// The buffers of a dead participant were reclaimed.
    fn leases_reclaimed(&self, _report: LeasesReclaimed) {}

    /// A buffer leaked.
    fn leaked(&self, _report: BufferLeaked) {}
}

/// An observer that stores each report, for tests.
#[cfg(test)]
#[cfg(not(loom))]
pub(crate) mod recorder {
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) enum Report {
        Allocated(BufferPoolAllocation),
        Recycled(BufferPoolRecycling),
        Exhausted(PoolExhausted),
        Grown(PoolGrown),
        LeasesReclaimed(LeasesReclaimed),
        Leaked(BufferLeaked),
    }

    /// Clones share what they record.
    #[derive(Clone, Default)]
    pub(crate) struct Recorder(Arc<Mutex<Vec<Report>>>);

    impl Recorder {
        pub(crate) fn observer(&self) -> Box<dyn PoolObserver> {
            Box::new(self.clone())
        }

        /// The reports that `field` finds in what was recorded so far.
        pub(crate) fn all<T>(&self, field: impl Fn(&Report) -> Option<T>) -> Vec<T> {
            self.0.lock().unwrap().iter().filter_map(field).collect()
        }

        fn record(&self, report: Report) {
            self.0.lock().unwrap().push(report);
        }
    }

    impl PoolObserver for Recorder {
        fn allocated(&self, report: BufferPoolAllocation) {
            self.record(Report::Allocated(report));
        }

        fn recycled(&self, report: BufferPoolRecycling) {
            self.record(Report::Recycled(report));
        }

        fn exhausted(&self, report: PoolExhausted) {
            self.record(Report::Exhausted(report));
        }

        fn grown(&self, report: PoolGrown) {
            self.record(Report::Grown(report));
        }

        fn leases_reclaimed(&self, report: LeasesReclaimed) {
            self.record(Report::LeasesReclaimed(report));
        }

        fn leaked(&self, report: BufferLeaked) {
            self.record(Report::Leaked(report));
        }
    }
}
