//! Buffers in memory that is not the pool's, such as a mapped file: shared, and never written.
#![allow(unsafe_code)] // Hands out samples that the pool did not allocate.

use alloc::boxed::Box;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::carving::too_many;
use crate::error::PoolError;
use crate::memory::Region;
use crate::realtime::buffer::{AudioMetadata, BufferRef};
use crate::realtime::free_list::MAX_NEWLY_CARVED;
use crate::realtime::pool_core::{ControlRef, Core};
use crate::realtime::pool_state::OnRelease;
use crate::realtime::raw_handle::RawHandle;
use crate::realtime::slot_table::MAX_SAMPLES;

/// Memory, and how many buffers may refer to it at once. They may overlap, and outlive this value: the memory is kept
/// until the last of them is dropped.
pub struct ForeignBuffers {
    pool: ControlRef,
    size_class: u16,
    samples: usize,
    /// The size class has one owner.
    not_sync: PhantomData<Cell<()>>,
}

impl ForeignBuffers {
    /// For up to `buffers` buffers at once in the `samples` samples at `base`.
    ///
    /// # Errors
    /// [`TooManyAtOnce`](PoolError::TooManyAtOnce).
    ///
    /// # Safety
    /// The samples stay there, and nobody writes to them, as long as `memory` exists.
    pub unsafe fn new(
        memory: Box<dyn Send + Sync>,
        base: NonNull<f32>,
        samples: usize,
        buffers: usize,
    ) -> Result<Self, PoolError> {
        if buffers as u64 > MAX_NEWLY_CARVED {
            return Err(too_many(buffers));
        }
        let mut pool = ControlRef::new(Core::new(buffers));
        pool.add_region(Region::of(base, memory))?;
        let longest = u32::try_from(samples).unwrap_or(u32::MAX);
        let size_class = pool.add_size_class(OnRelease::ReadOnly, 0, longest, 0)?;
        for class in pool.size_classes() {
            for _ in 0..buffers {
                let index = pool.table.add()?;
                // SAFETY: read only, so that all of them may have the same memory.
                unsafe { pool.table.slot(index).carve(0, 0, size_class) };
                class.add_carved(1);
                class.shared.inbox.push_newly_carved(&pool.table, index);
            }
        }
        Ok(Self {
            pool,
            size_class,
            samples,
            not_sync: PhantomData,
        })
    }

    /// `length` samples from `first` on, in place.
    ///
    /// # Real-time
    /// Wait-free.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) beyond the end;
    /// [`Exhausted`](PoolError::Exhausted) with as many buffers in use as there may be.
    pub fn share(
        &self,
        first: usize,
        length: u32,
        metadata: AudioMetadata,
    ) -> Result<BufferRef, PoolError> {
        let largest = self.samples.saturating_sub(first);
        let Some(size_class) = self.pool.size_class(self.size_class).filter(|_| length > 0) else {
            return Err(PoolError::ZeroLength);
        };
        if length as usize > largest {
            return Err(PoolError::TooLarge {
                requested: length as usize,
                largest,
            });
        }
        let slots = &self.pool.table;
        // Only for reports: the handle has the length.
        let requested = length.min(MAX_SAMPLES as u32);
        let taken = size_class.pop(slots, requested).or_else(|| {
            size_class.refill(slots);
            size_class.pop(slots, requested)
        });
        let (index, slot) = taken.ok_or(PoolError::Exhausted {
            requested: length,
            class_samples: size_class.samples,
            carved: size_class.carved(),
        })?;
        // SAFETY: each slot's place is the start of the region, and the buffer ends within its samples.
        let samples = unsafe { self.pool.samples_at(slot).add(first) };
        // SAFETY: the slot was just popped. The samples live as long as the core, by the contract of `new`, and
        // `OnRelease::ReadOnly` keeps the release from writing.
        let raw = unsafe { RawHandle::from_parts(size_class.into(), samples, index, length) };
        Ok(BufferRef::of_file(raw, metadata))
    }
}
