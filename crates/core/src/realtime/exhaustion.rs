//! The slow path of an acquire whose class has an empty local list.

use super::one_slot_cache::{AcquireKind, TakenBuffer};
use super::realtime_pool::RealtimePool;
use super::size_class::SizeClass;
use crate::error::PoolError;
use crate::observer::PoolExhausted;

/// What an acquire does when its class has no idle buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExhaustionPolicy {
    /// It fails.
    #[default]
    Fail,
    /// It takes a buffer of the next larger class; counted as a miss.
    BorrowNextLarger,
    /// It fails while this many are still idle, at most [`MAX_RESERVE`](Self::MAX_RESERVE): they are for
    /// [`RealtimePool::acquire_critical`].
    Reserve(u32),
}

impl ExhaustionPolicy {
    /// The largest reserve: an acquire that empties the inbox walks over it.
    pub const MAX_RESERVE: u32 = 64;
}

impl RealtimePool {
    /// Acquires when the local list has nothing to give: takes the inbox in, then does what the policy says.
    #[cold]
    #[inline(never)]
    pub(super) fn acquire_slow_path<'half>(
        &'half self,
        own: &'half SizeClass,
        samples: usize,
        kind: AcquireKind,
        critical: bool,
    ) -> Option<(&'half SizeClass, TakenBuffer)> {
        let length = samples as u32;
        // Twice: a refill takes one of the inbox's two lists, which may hold no more than the reserve.
        for _ in 0..2 {
            self.refill(own);
            let found = if critical {
                own.take_reserve(length)
            } else {
                own.take(kind, length)
            };
            if let Some(taken) = found {
                return Some((own, taken));
            }
        }
        if self.options.borrow
            && let Some(larger) = self.owned.table().above(own.samples)
        {
            if larger.local() == 0 {
                self.refill(larger);
            }
            if let Some(taken) = larger.take(kind, length) {
                own.borrowed.add(1);
                larger.served_for_smaller.add(1);
                return Some((larger, taken));
            }
        }
        None
    }

    /// Whether `buffers` buffers can be acquired for requests of a class, one after the other.
    ///
    /// Wait-free: each refill walks over fewer buffers than that, and over the reserve.
    pub(super) fn has_idle(&self, own: &SizeClass, buffers: u32) -> bool {
        let missing = self.missing(own, buffers);
        if missing == 0 || !self.options.borrow {
            return missing == 0;
        }
        let larger = self.owned.table().above(own.samples);
        larger.is_some_and(|larger| self.missing(larger, missing) == 0)
    }

    /// How many of `buffers` buffers a class lacks after its inbox was taken in.
    fn missing(&self, size_class: &SizeClass, buffers: u32) -> u32 {
        // As in `acquire_slow_path`.
        for _ in 0..2 {
            if size_class.available() < buffers {
                self.refill(size_class);
            }
        }
        buffers.saturating_sub(size_class.available())
    }

    fn refill(&self, size_class: &SizeClass) {
        let returned = size_class.refill(&self.owned.pool().table);
        self.publish_recycling(size_class, returned);
    }

    /// The error of a refused request; counts and publishes it.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(&self, samples: usize) -> PoolError {
        let Some((_, own)) = self.owned.table().find(samples) else {
            self.half().refused.add(1);
            if samples == 0 {
                return PoolError::ZeroLength;
            }
            return PoolError::TooLarge {
                requested: samples,
                largest: self.owned.table().largest(),
            };
        };
        own.exhausted.add(1);
        let error = PoolError::Exhausted {
            requested: samples as u32,
            class_samples: own.samples,
            carved: own.carved(),
        };
        if let Some(observer) = &self.observer {
            observer.exhausted(PoolExhausted {
                class_samples: own.samples,
                requested: samples as u32,
                carved: own.carved(),
                half: own.half,
                first_frame: self.first_frame,
            });
        }
        error
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "exhaustion_tests.rs"]
mod tests;
