//! What the control half reports to its observer.

use alloc::boxed::Box;

use crate::observer::{BufferPoolRecycling, PoolObserver};
use crate::realtime::pool_core::ControlRef;
use crate::realtime::size_class::SizeClass;
use crate::unshared::Unshared;

/// The observer of the control half, if there is one.
pub(super) struct Reports(Unshared<Option<Box<dyn PoolObserver>>>);

impl Reports {
    pub(super) const fn new() -> Self {
        Self(Unshared::new(None))
    }

    pub(super) fn attach(&mut self, observer: Box<dyn PoolObserver>) {
        *self.0.get() = Some(observer);
    }

    pub(super) fn send(&mut self, report: impl FnOnce(&dyn PoolObserver)) {
        if let Some(observer) = self.0.get() {
            report(&**observer);
        }
    }

    /// Reports returns to a half without an owner, which nobody else does.
    pub(super) fn recycled(&mut self, pool: &ControlRef, size_class: &SizeClass, count: u32) {
        if count > 0 {
            let recycled = BufferPoolRecycling {
                class_samples: size_class.samples,
                count,
                half: size_class.half,
                first_frame: pool.half(size_class.half).and_then(|half| half.frame.get()),
            };
            self.send(|observer| observer.recycled(recycled));
        }
    }
}
