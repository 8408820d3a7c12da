//! Makes real-time halves, and attaches those again whose owner was dropped.

use super::pool_control::PoolControl;
use crate::error::PoolError;
use crate::realtime::owned_half::OwnedHalf;
use crate::realtime::realtime_pool::RealtimePool;
use alloc::vec::Vec;

impl PoolControl {
    /// Attaches a further real-time half, with the mix of the builder. A half whose owner was dropped is used again:
    /// its idle buffers return to the arena first, and requests to its former owner ([`trim`](Self::trim),
    /// [`shrink`](Self::shrink), [`replenish_below`](Self::replenish_below)) end. Its buffers that are still in use
    /// return to it.
    ///
    /// It has no buffers of classes that came after the pool was built until [`step`](Self::step) has seen requests
    /// for them, and sizing gives to other halves what it does not use for long. For buffers from the first request
    /// on, or for a rare burst, name their number: [`attach_with`](Self::attach_with).
    ///
    /// # Errors
    /// [`LimitReached`](PoolError::LimitReached) when arena and limit have no room for another mix;
    /// [`TableFull`](PoolError::TableFull), [`OutOfMemory`](PoolError::OutOfMemory).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let (mut control, _audio) = BufferPool::builder().class(256, 4).limit_samples(4096).build()?;
    /// let other = control.attach()?;
    /// let reader = std::thread::spawn(move || other.acquire(256).map(|block| block.len()));
    /// assert_eq!(reader.join().unwrap()?, 256);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn attach(&mut self) -> Result<RealtimePool, PoolError> {
        let mix = self.plan.classes.clone();
        self.attach_mix(&mix, false)
    }

    /// [`attach`](Self::attach) with a mix of its own, `(class samples, buffers)`. For a half whose needs are known,
    /// such as a stream's or an engine's: it has these buffers from its first request on, and plans of the pool's
    /// classes ([`apply`](Self::apply), [`shrink`](Self::shrink)) neither take from it nor count on it. Requests for a
    /// class that is left out, or that is added to the pool later, are served by the next larger class of the mix.
    ///
    /// # Errors
    /// As for `attach`; [`UnknownClass`](PoolError::UnknownClass), and
    /// [`ClassGivenTwice`](PoolError::ClassGivenTwice).
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// let builder = BufferPool::builder().class(256, 4).class(1024, 1).limit_samples(8192);
    /// let (mut control, _audio) = builder.build()?;
    /// let analyser = control.attach_with(&[(1024, 2)])?;
    /// assert_eq!(analyser.acquire(1000)?.capacity(), 1024);
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    pub fn attach_with(&mut self, mix: &[(usize, u32)]) -> Result<RealtimePool, PoolError> {
        let mut rest = mix.iter();
        while let Some(&(samples, _)) = rest.next() {
            if rest.as_slice().iter().any(|&(other, _)| other == samples) {
                return Err(PoolError::ClassGivenTwice { samples });
            }
        }
        let known = |&(samples, buffers): &(usize, u32)| Ok((self.plan.known(samples)?, buffers));
        let mix = mix
            .iter()
            .map(known)
            .collect::<Result<Vec<_>, PoolError>>()?;
        self.attach_mix(&mix, true)
    }

    fn attach_mix(&mut self, mix: &[(u32, u32)], own: bool) -> Result<RealtimePool, PoolError> {
        // Owned before it is filled: if that fails, its drop detaches the half.
        let mut owned = self.own_half()?;
        let half = owned.half().id;
        let wanted = |&(samples, buffers): &(u32, u32)| {
            let size_class = self.pool.find_size_class(half, samples)?;
            (buffers > 0).then_some((size_class, buffers))
        };
        let wanted: Vec<_> = mix.iter().filter_map(wanted).collect();
        self.carver.carve_mix(&self.pool, wanted)?;
        let followed_demand = self.plan.follows_demand(half);
        // The next owner's counts begin at zero. Sizing by demand goes on with those of the same kind of half.
        if own || !followed_demand {
            for size_class in self.pool.size_classes_of(half) {
                self.counts.past.take_over(size_class, followed_demand);
            }
        }
        self.plan.note_attached(half, mix, own);
        self.plan.publish(&mut self.pool, half);
        owned.install_pending_table();
        self.pool.collect_retired();
        Ok(RealtimePool::new(owned, self.options))
    }

    /// The mix that the host configured for halves attached since the last call.
    #[doc(hidden)]
    pub fn take_attached(&mut self) -> Vec<(u32, u32)> {
        self.plan.take_attached()
    }

    /// A half whose owner was dropped, without anything of that one, or a new half.
    fn own_half(&mut self) -> Result<OwnedHalf, PoolError> {
        for half in self.half_ids() {
            if let Some(mut owned) = self.pool.own(half) {
                self.pool.collect_retired();
                owned.install_pending_table();
                self.pool.collect_retired();
                owned.half().forget_stream();
                self.end_requests(half);
                return Ok(owned);
            }
        }
        let half = self.make_half()?;
        self.pool
            .own(half)
            .ok_or(PoolError::NoHalf { class_samples: 0 })
    }

    /// Ends the requests to the former owner of a half, and returns its idle buffers to the arena: see
    /// `docs/decisions/0018-requests-to-an-owner-end-with-it.md`.
    fn end_requests(&mut self, half: u16) {
        for size_class in self.pool.size_classes_of(half) {
            self.carver.drain(size_class, 0);
            size_class.shared.target.set(0);
            let is_retired = !self.plan.has_class(size_class.samples);
            size_class.set_limit(if is_retired { 0 } else { u32::MAX });
            let (pool, reports) = (&self.pool, &mut self.reports);
            self.carver.return_idle_to_arena(pool, reports, size_class);
        }
    }

    fn make_half(&mut self) -> Result<u16, PoolError> {
        let half = self.pool.next_half()?;
        let mut active = Vec::with_capacity(self.plan.classes.len());
        for &(samples, _) in &self.plan.classes {
            match self.plan.make_size_class(&mut self.pool, half, samples) {
                Ok(size_class) => active.push(size_class),
                Err(error) => {
                    for size_class in active {
                        self.pool.remove_if_unused(size_class);
                    }
                    return Err(error);
                }
            }
        }
        self.plan
            .with_classes_of(&mut self.pool, half, |pool, classes| pool.add_half(classes))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "attach_tests.rs"]
mod tests;
