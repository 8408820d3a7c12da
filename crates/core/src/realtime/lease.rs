//! Leases: numbers for what leaves Rust's types, checked each time they come back.
//!
//! A lease is 30 bits wide, so that V8 keeps it a small integer: `[participant:4][generation][entry]`. The table has a
//! power of two of entries. The generation has the remaining bits (18 with 256 entries), changes each time an entry is
//! released, and is never 0. Entries are used again first in, first out, so that a stale number stays stale for as
//! many leases as possible: all generations of all entries, 2^26 leases.
//!
//! Each table starts with another generation, so that a lease of one is stale in every other one of the same
//! participant number: a later participant's, or another pool's (`docs/decisions/0015-lease-numbers-of-30-bits.md`). See [`LeaseTable::seed`].
//!
//! | state \ operation | view | end view | share | cross | release |
//! |---|---|---|---|---|---|
//! | allocated | viewed | refused | allocated, twice | recycled | recycled |
//! | viewed | refused | allocated | refused | refused | recycled |
//! | recycled | stale | stale | stale | stale | stale |
//!
//! A view outside of Rust cannot be revoked: after a release the caller must not use it. Debug builds overwrite
//! released samples, so that a caller who does so sees it.

use alloc::boxed::Box;
use core::mem::ManuallyDrop;

use super::buffer::{BufferRef, PooledBuffer};
use crate::error::{LeaseMove, LeaseState, PoolError, Table};
#[cfg(not(loom))]
use crate::sync::atomic::{AtomicU32, Ordering};

/// Bits of a lease number.
pub const LEASE_BITS: u32 = 30;
/// Participants that can hold leases.
pub const MAX_HOLDERS: u8 = 16;
/// Leases one participant can have.
pub const MAX_LEASES: usize = 1 << 12;
const HOLDER_SHIFT: u32 = LEASE_BITS - MAX_HOLDERS.trailing_zeros();

/// 2^32 divided by the golden ratio: multiples of it, modulo 2^32, stay far apart from each other however many there are.
const SEED_STEP: u32 = 0x9e37_79b9;
/// The seed of the next table: see [`LeaseTable::seed`].
#[cfg(not(loom))]
static NEXT_SEED: AtomicU32 = AtomicU32::new(0);

/// A different seed for each table.
fn next_seed() -> u32 {
    // Relaxed: each call gets a value of its own; nothing else is reached through it.
    #[cfg(not(loom))]
    return NEXT_SEED.fetch_add(SEED_STEP, Ordering::Relaxed);
    #[cfg(loom)] // Whose atomics cannot be static.
    SEED_STEP
}

/// The number of a lease. Any `u32` may be passed off as one; the table checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease(u32);

impl Lease {
    /// A number that may be a lease.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The number to pass on.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The participant number in it, which may be forged.
    #[must_use]
    pub const fn holder(self) -> u8 {
        ((self.0 >> HOLDER_SHIFT) & 0xff) as u8
    }
}

/// A buffer behind a lease.
pub enum LeasedBuffer {
    /// A buffer with one owner, who may write.
    Owned(PooledBuffer),
    /// A frozen buffer, which every owner may read.
    Shared(BufferRef),
}

impl LeasedBuffer {
    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        match self {
            Self::Owned(buffer) => buffer,
            Self::Shared(buffer) => buffer,
        }
    }

    /// The number of the buffer in its pool.
    #[must_use]
    pub fn slot_index(&self) -> u32 {
        match self {
            Self::Owned(buffer) => buffer.slot_index(),
            Self::Shared(buffer) => buffer.slot_index(),
        }
    }

    /// Samples the buffer can hold: the length of a kept view.
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self {
            Self::Owned(buffer) => buffer.capacity(),
            Self::Shared(buffer) => buffer.capacity(),
        }
    }
}

impl From<PooledBuffer> for LeasedBuffer {
    fn from(buffer: PooledBuffer) -> Self {
        Self::Owned(buffer)
    }
}

impl From<BufferRef> for LeasedBuffer {
    fn from(buffer: BufferRef) -> Self {
        Self::Shared(buffer)
    }
}

/// Invariant: `buffer` is there exactly while `state` is not `Recycled`.
///
/// The table drops the buffers itself, so that [`LeaseTable::abandon`] can free the entries without them.
struct Entry<B> {
    generation: u32,
    state: LeaseState,
    buffer: Option<ManuallyDrop<B>>,
}

/// The leases of one participant: on single buffers, or on other values (`LeaseTable<PlanarRef>`: windows).
///
/// # Real-time
/// All memory is allocated by [`new`](Self::new). Every other method is a bounded number of steps
/// ([`reclaim`](Self::reclaim): one per entry), and what it drops is released like any dropped buffer.
///
/// # Examples
/// ```
/// use wavepool_core::{BufferPool, Lease, LeaseTable, PoolError};
///
/// let (_control, half) = BufferPool::builder().class(256, 2).build()?;
/// let mut leases = LeaseTable::new(1, 64);
/// let lease = leases.open(half.acquire(256)?)?;
/// leases.release(lease)?;
/// assert!(matches!(leases.release(lease), Err(PoolError::StaleLease { .. })));
/// assert!(matches!(leases.release(Lease::from_raw(12345)), Err(PoolError::WrongHolder { .. })));
/// # Ok::<(), PoolError>(())
/// ```
pub struct LeaseTable<B = LeasedBuffer> {
    holder: u8,
    entries: Box<[Entry<B>]>,
    /// Free entries as a ring: `free` of them, the oldest at `next_free`.
    ring: Box<[u16]>,
    next_free: usize,
    free: usize,
}

impl LeaseTable {
    /// A table for participant `holder` with room for `most` leases, rounded up to a power of two, at least 1 and at
    /// most [`MAX_LEASES`].
    ///
    /// # Panics
    /// `holder` of [`MAX_HOLDERS`] or above; [`try_of`](Self::try_of) returns an error instead.
    #[must_use]
    pub fn new(holder: u8, most: usize) -> Self {
        Self::of(holder, most)
    }

    /// Sets the start of the sequence from which tables made from now on take their first generation.
    ///
    /// Tables of one instance of this library never share a generation. Several instances on one page have a sequence
    /// each: seed each differently (a random number will do), or a lease of one may be accepted by another. With `n`
    /// bits of generation (16 in a table of 1,024 leases), a lease meets its own generation in a table that was seeded
    /// at random with a probability of 2^-n.
    #[cfg(not(loom))]
    pub fn seed(seed: u32) {
        // Relaxed: see `next_seed`.
        NEXT_SEED.store(seed, Ordering::Relaxed);
    }

    /// Opens a further lease on the same samples, which are frozen from now on.
    ///
    /// # Errors
    /// As for [`view`](Self::view); [`TableFull`](PoolError::TableFull).
    pub fn share(&mut self, lease: Lease) -> Result<Lease, PoolError> {
        self.find(lease, LeaseMove::Share, LeaseState::Allocated)?;
        self.check_room()?;
        let shared = self.share_out(lease)?;
        self.open(shared)
    }

    /// Returns a reference to the same samples for another participant's table; they are frozen from now on.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn share_out(&mut self, lease: Lease) -> Result<BufferRef, PoolError> {
        let at = self.find(lease, LeaseMove::Share, LeaseState::Allocated)?;
        let buffer = &mut self.entries[at].buffer;
        let taken = buffer.take().ok_or(stale(lease))?;
        let shared = match ManuallyDrop::into_inner(taken) {
            LeasedBuffer::Owned(owned) => owned.freeze(),
            LeasedBuffer::Shared(shared) => shared,
        };
        *buffer = Some(ManuallyDrop::new(LeasedBuffer::Shared(shared.clone())));
        Ok(shared)
    }
}

impl<B> LeaseTable<B> {
    /// [`new`](LeaseTable::new) for leases on other values than single buffers.
    ///
    /// # Panics
    /// As for `new`.
    #[must_use]
    pub fn of(holder: u8, most: usize) -> Self {
        match Self::try_of(holder, most) {
            Ok(table) => table,
            Err(error) => panic!("{error}"),
        }
    }

    /// [`of`](Self::of) that returns an error.
    ///
    /// # Errors
    /// [`NoSuchHolder`](PoolError::NoSuchHolder).
    pub fn try_of(holder: u8, most: usize) -> Result<Self, PoolError> {
        if holder >= MAX_HOLDERS {
            return Err(PoolError::NoSuchHolder {
                holder,
                most: MAX_HOLDERS - 1,
            });
        }
        let entries = most.clamp(1, MAX_LEASES).next_power_of_two();
        let last = last_generation(entries);
        // Only the high bits of the seeds are far apart.
        let generation = ((u64::from(next_seed()) * u64::from(last)) >> 32) as u32 + 1;
        Ok(Self {
            holder,
            entries: (0..entries)
                .map(|_| Entry {
                    generation,
                    state: LeaseState::Recycled,
                    buffer: None,
                })
                .collect(),
            ring: (0..entries as u16).collect(),
            next_free: 0,
            free: entries,
        })
    }

    /// Opens a lease on a buffer.
    ///
    /// # Errors
    /// [`TableFull`](PoolError::TableFull); the buffer was released.
    pub fn open(&mut self, buffer: impl Into<B>) -> Result<Lease, PoolError> {
        self.check_room()?;
        let at = usize::from(self.ring[self.next_free]);
        self.next_free = (self.next_free + 1) % self.ring.len();
        self.free -= 1;
        let entry = &mut self.entries[at];
        entry.state = LeaseState::Allocated;
        entry.buffer = Some(ManuallyDrop::new(buffer.into()));
        Ok(self.number(at))
    }

    /// Opens a view of the samples; the lease is in use until [`end_view`](Self::end_view) or its release.
    ///
    /// # Errors
    /// [`StaleLease`](PoolError::StaleLease), [`WrongHolder`](PoolError::WrongHolder),
    /// [`IllegalMove`](PoolError::IllegalMove): as for all below.
    pub fn view(&mut self, lease: Lease) -> Result<&mut B, PoolError> {
        let at = self.find(lease, LeaseMove::View, LeaseState::Allocated)?;
        let entry = &mut self.entries[at];
        entry.state = LeaseState::Viewed;
        entry.buffer.as_deref_mut().ok_or(stale(lease))
    }

    /// Ends a view.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn end_view(&mut self, lease: Lease) -> Result<(), PoolError> {
        let at = self.find(lease, LeaseMove::EndView, LeaseState::Viewed)?;
        self.entries[at].state = LeaseState::Allocated;
        Ok(())
    }

    /// The buffer of a live lease, to be read on this side.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn get(&self, lease: Lease) -> Result<&B, PoolError> {
        let at = self.live_entry(lease)?;
        self.entries[at].buffer.as_deref().ok_or(stale(lease))
    }

    /// The state of a live lease.
    ///
    /// # Errors
    /// [`StaleLease`](PoolError::StaleLease), [`WrongHolder`](PoolError::WrongHolder).
    pub fn state(&self, lease: Lease) -> Result<LeaseState, PoolError> {
        Ok(self.entries[self.live_entry(lease)?].state)
    }

    /// Ends the lease and returns its buffer, for the receiver's table to open a lease of its own.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn cross(&mut self, lease: Lease) -> Result<B, PoolError> {
        let at = self.find(lease, LeaseMove::Cross, LeaseState::Allocated)?;
        self.end(at).ok_or(stale(lease))
    }

    /// Ends the lease; the buffer is released, unless it is shared.
    ///
    /// # Errors
    /// [`StaleLease`](PoolError::StaleLease), [`WrongHolder`](PoolError::WrongHolder).
    pub fn release(&mut self, lease: Lease) -> Result<(), PoolError> {
        self.take(lease).map(drop)
    }

    /// [`release`](Self::release) that returns the buffer, so that its own half can release it.
    ///
    /// # Errors
    /// As for `release`.
    pub fn take(&mut self, lease: Lease) -> Result<B, PoolError> {
        let at = self.live_entry(lease)?;
        self.end(at).ok_or(stale(lease))
    }

    /// Ends every lease, of a participant that died. Returns how many there were.
    pub fn reclaim(&mut self) -> usize {
        (0..self.entries.len())
            .filter(|&at| self.end(at).is_some())
            .count()
    }

    /// Frees the table without dropping what is leased: its participant died in the middle of a change, so that
    /// neither the entries nor their buffers can be trusted. The caller reclaims the buffers by other means, such as
    /// [`PoolControl::reclaim_all`](crate::PoolControl::reclaim_all); otherwise they leak.
    pub fn abandon(mut self) {
        self.entries = Box::default();
    }

    /// The number of the participant.
    #[must_use]
    pub const fn holder(&self) -> u8 {
        self.holder
    }

    /// Leases that are open.
    #[must_use]
    pub fn live(&self) -> usize {
        self.entries.len() - self.free
    }

    /// Whether the next [`open`](Self::open) will be refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Bytes on the heap.
    #[doc(hidden)]
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.ring)
    }

    #[doc(hidden)]
    pub fn check_room(&self) -> Result<(), PoolError> {
        if self.free > 0 {
            return Ok(());
        }
        Err(PoolError::TableFull {
            table: Table::Leases,
            capacity: self.entries.len(),
        })
    }

    fn end(&mut self, at: usize) -> Option<B> {
        let generations = last_generation(self.entries.len());
        let entry = &mut self.entries[at];
        let buffer = entry.buffer.take()?;
        entry.state = LeaseState::Recycled;
        entry.generation = (entry.generation % generations) + 1;
        let last = (self.next_free + self.free) % self.ring.len();
        self.ring[last] = at as u16;
        self.free += 1;
        Some(ManuallyDrop::into_inner(buffer))
    }

    const fn entry_bits(&self) -> u32 {
        self.entries.len().trailing_zeros()
    }

    fn number(&self, at: usize) -> Lease {
        let generation = self.entries[at].generation << self.entry_bits();
        Lease(u32::from(self.holder) << HOLDER_SHIFT | generation | at as u32)
    }

    fn live_entry(&self, lease: Lease) -> Result<usize, PoolError> {
        if lease.0 >> LEASE_BITS == 0 && lease.holder() != self.holder {
            return Err(PoolError::WrongHolder {
                lease: lease.0,
                holder: lease.holder(),
                asked: self.holder,
            });
        }
        let at = lease.0 as usize % self.entries.len();
        let live = self.entries[at].state != LeaseState::Recycled && self.number(at) == lease;
        if live { Ok(at) } else { Err(stale(lease)) }
    }

    fn find(&self, lease: Lease, asked: LeaseMove, from: LeaseState) -> Result<usize, PoolError> {
        let at = self.live_entry(lease)?;
        let state = self.entries[at].state;
        if state != from {
            return Err(PoolError::IllegalMove {
                lease: lease.0,
                state,
                asked,
            });
        }
        Ok(at)
    }
}

impl<B> Drop for LeaseTable<B> {
    fn drop(&mut self) {
        self.reclaim();
    }
}

/// The largest generation in a table of `entries` entries; the smallest is 1.
const fn last_generation(entries: usize) -> u32 {
    (1 << (HOLDER_SHIFT - entries.trailing_zeros())) - 1
}

const fn stale(lease: Lease) -> PoolError {
    PoolError::StaleLease { lease: lease.0 }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "lease_tests.rs"]
mod tests;
