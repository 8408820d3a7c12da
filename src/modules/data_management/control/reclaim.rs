//! Reclaims the buffers of a real-time half whose owner died: a worker that was terminated, an instance that trapped.
//!
//! The owner may have stopped before any of its stores, so that its counts and lists cannot be trusted. The order of
//! its stores makes the following true at every moment:
//!
//! | a buffer of the half | how it is recognised |
//! |---|---|
//! | waits in inbox or surplus | it is on that list: a push is one store, and the owner's take leaves the chain in the head until it is linked |
//! | is idle on the local list | the links from `first` lead to it, whatever its slot state says |
//! | is cached, or acquired from the cache as a `Scratch` | on no list, slot state clear; the cache says which |
//! | is between two of the owner's lists | on no list, slot state clear: it was cleared before the buffer left a list, or after it was released |
//! | was in use by a thread that died with the owner | on no list, slot state not clear, not frozen |
//! | is in use elsewhere, or being released there | on no list, and frozen |
//!
//! Nothing in the pool says whether a frozen buffer is in use elsewhere or was lost with the thread that died: its
//! count says how many references there are, not whose. A host that knows that no other thread has one calls
//! [`PoolControl::reclaim_all`].
#![allow(unsafe_code)] // Only the host knows that a thread is dead.

use super::pool_control::PoolControl;
use crate::modules::data_management::pool_events::{BufferPoolAllocation, LeasesReclaimed};
use crate::modules::data_management::realtime::buffer::RawHandle;
use crate::modules::data_management::realtime::free_list::Chain;
use crate::modules::data_management::realtime::pool_core::SharedPtr;
use crate::modules::data_management::realtime::size_class::SizeClass;
use crate::modules::data_management::realtime::slot_table::SlotIndex;

/// The outcome of [`PoolControl::reclaim`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Buffers that were in use by the threads that died.
    pub count: u32,
    /// Frozen buffers of the half that stay with their other owners.
    pub shared: u32,
}

impl PoolControl {
    /// Reclaims a half whose owner died, wherever that one stopped: its idle buffers, and those that it or a thread
    /// that died with it had in use and not frozen. Frozen ones are released by the drop of their last reference. The
    /// half can be attached again.
    ///
    /// Publishes [`LeasesReclaimed`]. Does nothing for a half that is not attached, or does not exist.
    ///
    /// # Real-time
    /// For the control side. Disturbs no other half.
    ///
    /// # Safety
    /// The half's `RealtimePool` is never used again, not even dropped; nor is any [`Scratch`], [`PooledBuffer`] or
    /// [`PlanarBuffer`] that came from it. The host saw the thread end, so that this thread reads everything that one
    /// stored.
    ///
    /// [`Scratch`]: crate::modules::data_management::Scratch
    /// [`PooledBuffer`]: crate::modules::data_management::PooledBuffer
    /// [`PlanarBuffer`]: crate::modules::data_management::PlanarBuffer
    pub unsafe fn reclaim(&mut self, half: u16) -> Reclaimed {
        // SAFETY: the caller's contract; frozen buffers are left alone.
        unsafe { self.take_over(half, false) }
    }

    /// [`reclaim`](Self::reclaim) including frozen buffers, for a half whose buffers no living thread has. A reference
    /// that was lost between two tables, or in the middle of a clone or a drop, is found in no other way.
    ///
    /// # Safety
    /// As for `reclaim`; and no [`BufferRef`] or [`PlanarRef`] to a buffer of this half is used again, not even
    /// dropped.
    ///
    /// [`BufferRef`]: crate::modules::data_management::BufferRef
    /// [`PlanarRef`]: crate::modules::data_management::PlanarRef
    pub unsafe fn reclaim_all(&mut self, half: u16) -> Reclaimed {
        // SAFETY: the caller's contract, for frozen buffers too.
        unsafe { self.take_over(half, true) }
    }

    /// # Safety
    /// As for `reclaim`; with `frozen`, as for `reclaim_all`.
    unsafe fn take_over(&mut self, half: u16, frozen: bool) -> Reclaimed {
        let mut reclaimed = Reclaimed::default();
        let mut halves = self.pool.halves();
        let Some(abandoned) = halves.find(|other| other.id == half && other.is_attached()) else {
            return reclaimed;
        };
        drop(halves);
        let size_classes: Vec<_> = self
            .pool
            .size_classes()
            .filter(|size_class| size_class.half == half)
            .collect();
        for size_class in size_classes {
            if !abandoned.has_subscribers() {
                // Without subscribers the owner has not kept count of what it published.
                size_class.take_unpublished();
            }
            // SAFETY: the caller's contract, class by class.
            unsafe { self.rebuild(&size_class, frozen, &mut reclaimed) };
        }
        if let Some(table) = self.table_of(abandoned) {
            abandoned.replace_tables(table);
        }
        abandoned.detach();
        // SAFETY: the pool reference of the owner that died is of this core, and is never dropped, by the caller's
        // contract.
        unsafe { self.pool.release_abandoned() };
        self.leases_reclaimed += u64::from(reclaimed.count);
        self.publish(LeasesReclaimed {
            holder: u32::from(half),
            count: reclaimed.count,
            first_frame: abandoned.frame.get(),
        });
        reclaimed
    }

    /// Builds the local list anew from every buffer of a size class that no living thread has in use.
    ///
    /// # Safety
    /// As for `reclaim`; with `frozen`, as for `reclaim_all`.
    unsafe fn rebuild(
        &mut self,
        size_class: &SharedPtr<SizeClass>,
        frozen: bool,
        reclaimed: &mut Reclaimed,
    ) {
        let core = self.pool.core();
        let table = &core.table;
        let mut known = vec![false; table.indices().count()];
        let mut follow = |mut chain: Chain, most: u32| {
            let mut found = Vec::new();
            for _ in 0..most {
                let Some(index) = chain.pop(table) else {
                    break;
                };
                if !core::mem::replace(&mut known[index.raw() as usize], true) {
                    found.push(index);
                }
            }
            found
        };
        // These stay where they are.
        let surplus = size_class.shared.surplus.peek();
        follow(surplus, surplus.length);
        follow(self.collected.0, self.collected.0.length);
        let mut idle = Vec::new();
        let mut recycled = 0;
        for list in size_class.shared.inbox.lists() {
            let chain = list.take();
            recycled += size_class.count_returned(&chain);
            idle.extend(follow(chain, chain.length));
        }
        idle.extend(follow(size_class.follow_local(), size_class.carved()));
        let in_hand = size_class.reclaim_cache();
        // It may be on the list already: the owner may have died inside a flush of the cache.
        if let Some((index, out)) = in_hand
            && !core::mem::replace(&mut known[index.raw() as usize], true)
        {
            size_class.pushes.add(1);
            reclaimed.count += u32::from(out);
            idle.push(index);
        }
        let rest: Vec<SlotIndex> = table
            .indices()
            .filter(|index| !known[index.raw() as usize])
            .filter(|&index| {
                table.slot(index).is_carved() && table.slot(index).size_class() == size_class.id
            })
            .collect();
        for index in rest {
            let slot = table.slot(index);
            if slot.is_frozen() && !frozen && !cfg!(wavepool_mutant = "frozen_buffers_reclaimed") {
                reclaimed.shared += 1;
                continue;
            }
            if !slot.is_idle() {
                // SAFETY: the thread that had it in use is dead, by the caller's contract: this is the only handle.
                unsafe { RawHandle::from_slot(&core, index, 1).wipe() };
                size_class.pushes.add(1);
                reclaimed.count += 1;
            }
            idle.push(index);
        }
        for &index in &idle {
            table.slot(index).clear();
        }
        size_class.rebuild_local(table, &idle);
        let (scratches, returns) = size_class.take_unpublished();
        if scratches > 0 {
            let abandoned = self.pool.halves().find(|half| half.id == size_class.half);
            self.publish(BufferPoolAllocation {
                class_samples: size_class.samples,
                requested: 0,
                slot: u32::MAX,
                count: scratches,
                half: size_class.half,
                first_frame: abandoned.and_then(|half| half.frame.get()),
            });
        }
        self.publish_recycled(size_class, recycled + returns);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::mem::forget;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event_bus::TypedEventBus;
    use crate::modules::data_management::{
        BufferPool, BufferRef, ExhaustionPolicy, PoolBuilder, RealtimePool,
    };
    use crate::sync::atomic::stop_after;

    /// What the owner is in the middle of. What it acquires dies with it.
    type Work = fn(&mut RealtimePool);

    const WORKS: [(&str, Work); 9] = [
        ("scratch", |half| {
            let first = half.scratch(60);
            drop(half.scratch(64));
            forget(half.scratch(10));
            drop(first);
        }),
        ("acquire and release", |half| {
            let first = half.acquire(60).ok();
            let _ = half.acquire(64).map(|buffer| half.release(buffer));
            forget(first);
        }),
        ("drop", |half| {
            let buffers = [half.acquire(1), half.acquire(2), half.acquire_silent(200)];
            drop(buffers);
        }),
        ("planar", |half| {
            let held = half.acquire_planar(2, 64);
            let _ = half.acquire_planar(16, 64);
            drop(half.acquire_planar(2, 200));
            forget(held);
        }),
        ("planar and back", |half| {
            for frames in [64, 64, 200] {
                drop(half.scratch(60));
                let _ = half
                    .acquire_planar(2, frames)
                    .map(|buffer| half.release_planar(buffer));
            }
        }),
        ("refill", |half| {
            // More than the local list has.
            (0..6).for_each(|_| forget(half.acquire(64)));
        }),
        ("refill over a reserve", |half| {
            (0..6).for_each(|_| forget(half.acquire_critical(64)));
        }),
        ("shed", |half| {
            (0..3).for_each(|frame| half.begin_quantum(frame))
        }),
        ("new classes", |half| {
            forget(half.scratch(64));
            half.begin_quantum(0);
            forget(half.scratch(64));
        }),
    ];

    /// A half with buffers in every place: on its list, newly carved and returned ones in its inbox, shed ones, shared ones;
    /// and news of classes and limits that it has not heard yet.
    fn pool(builder: PoolBuilder) -> (PoolControl, RealtimePool, [BufferRef; 2]) {
        let builder = builder.class(64, 5).class(256, 3).leak_sampling(1);
        let (mut control, mut half) = builder.limit_samples(1 << 13).build().unwrap();
        control.trim(64, 4).unwrap();
        half.begin_quantum(0);
        let shared = [64, 256].map(|samples| half.acquire(samples).unwrap().freeze());
        half.release(half.acquire(64).unwrap());
        drop(half.acquire(64).unwrap().freeze());
        drop(half.acquire(64).unwrap());
        control.grow(64, 2).unwrap();
        control.trim(64, 2).unwrap();
        control.set_classes(&[64, 128, 256]).unwrap();
        (control, half, shared)
    }

    /// Stops the owner before each store of each work, and takes over.
    fn everything_comes_back(builder: impl Fn() -> PoolBuilder) {
        for (name, work) in WORKS {
            let mut stores = 0;
            loop {
                let (mut control, mut half, shared) = pool(builder());
                let id = half.id();
                let done = stop_after(stores, || work(&mut half));
                forget(half);
                // SAFETY: forgotten, with all that it acquired; `shared` is frozen.
                let reclaimed = unsafe { control.reclaim(id) };
                assert_eq!(reclaimed.shared, 2, "{name} stopped after {stores}");
                assert_eq!(control.leased(), 2, "{name} stopped after {stores}");
                assert!(control.is_valid(), "{name} stopped after {stores}");
                drop(shared);
                let mut next = control.attach().unwrap();
                next.begin_quantum(0);
                let all: Vec<_> = core::iter::from_fn(|| next.acquire(64).ok()).collect();
                let carved = control.metrics().classes[0].clone();
                assert!(
                    all.len() as u64 + 2 >= carved.carved - carved.idle,
                    "{name} {stores}"
                );
                drop((all, next));
                while !control.step(100).complete {}
                assert_eq!(
                    (control.bytes_held(), control.is_valid()),
                    (0, true),
                    "{name} {stores}"
                );
                if done < stores {
                    break;
                }
                // The interpreter is slow: it stops at every nineteenth.
                stores += if cfg!(miri) { 19 } else { 1 };
            }
            assert!(stores > 5, "{name}");
        }
    }

    #[test]
    fn reclaim_after_a_stop_before_any_store_loses_nothing() {
        everything_comes_back(BufferPool::builder);
    }

    #[test]
    fn reclaim_after_a_stop_before_any_store_loses_nothing_with_a_reserve() {
        everything_comes_back(|| {
            let reserve = ExhaustionPolicy::Reserve(2);
            BufferPool::builder()
                .exhaustion(reserve)
                .scrub_on_release(true)
        });
    }

    /// What a participant that JavaScript uses is in the middle of: frozen buffers included, of which nobody else has one.
    const SHARING: [(&str, Work); 3] = [
        ("freeze and share", |half| {
            let Ok(buffer) = half.acquire(60) else { return };
            let shared = buffer.freeze();
            let further = shared.clone();
            forget((shared, further));
        }),
        ("share and release", |half| {
            let Ok(buffer) = half.acquire(64) else { return };
            let shared = buffer.freeze();
            let further = shared.clone();
            drop(shared);
            drop(further);
        }),
        ("frozen windows", |half| {
            for frames in [64, 200] {
                let Ok(window) = half.acquire_planar(3, frames) else {
                    return;
                };
                drop(window.freeze());
            }
        }),
    ];

    #[test]
    fn reclaim_all_after_a_stop_before_any_store_includes_frozen_buffers() {
        for (name, work) in SHARING.into_iter().chain(WORKS) {
            for stores in 0.. {
                let (mut control, mut half, shared) = pool(BufferPool::builder());
                let done = stop_after(stores, || work(&mut half));
                forget(shared);
                let (id, _) = half.abandon();
                // SAFETY: abandoned, with all that it acquired, and what was shared is forgotten.
                let reclaimed = unsafe { control.reclaim_all(id) };
                let seen = (reclaimed.shared, control.leased(), control.is_valid());
                assert_eq!(seen, (0, 0, true), "{name} stopped after {stores}");
                assert!(reclaimed.count >= 2, "{name} stopped after {stores}");
                let next = control.attach().unwrap();
                assert_eq!(next.id(), id);
                drop(next);
                while !control.step(100).complete {}
                assert_eq!(control.bytes_held(), 0, "{name} stopped after {stores}");
                if done < stores || cfg!(miri) && stores > 40 {
                    break;
                }
            }
        }
    }

    #[test]
    fn publishers_of_dead_owners_free_their_lanes_after_delivery() {
        let bus = TypedEventBus::default();
        let published = Arc::new(Mutex::new((0, 0)));
        let (on_allocation, on_reclaim) = (published.clone(), published.clone());
        let _guards = (
            bus.subscribe(move |event: &BufferPoolAllocation| {
                on_allocation.lock().unwrap().0 += event.count;
            }),
            bus.subscribe(move |event: &LeasesReclaimed| {
                on_reclaim.lock().unwrap().1 += event.count;
            }),
        );
        let (mut control, first) = BufferPool::builder().class(64, 2).build().unwrap();
        drop(first);
        control.attach_publisher(bus.publisher().unwrap()).unwrap();
        const DEAD: u32 = 1000;
        for abandoned in 0..DEAD {
            let mut half = control.attach_with(&[(64, 2)]).unwrap();
            let publisher = bus.publisher();
            let publisher = publisher.unwrap_or_else(|error| panic!("{abandoned}: {error}"));
            half.attach_publisher(publisher).unwrap();
            half.begin_round();
            forget(half.acquire(64));
            let (id, publisher) = half.abandon();
            drop(publisher);
            // SAFETY: abandoned, and what it acquired is forgotten.
            unsafe { control.reclaim(id) };
            bus.pump(usize::MAX);
        }
        assert_eq!(*published.lock().unwrap(), (DEAD, DEAD));
        bus.pump(0);
        assert_eq!((bus.stats().publishers, control.leased()), (1, 0));
    }

    #[test]
    fn reclaim_keeps_the_reserve_for_the_next_owner() {
        let builder = BufferPool::builder().exhaustion(ExhaustionPolicy::Reserve(2));
        let (mut control, half) = builder.class(64, 3).build().unwrap();
        let id = half.id();
        forget(half);
        // SAFETY: forgotten, and nothing was acquired.
        unsafe { control.reclaim(id) };
        let half = control.attach().unwrap();
        drop(half.scratch(64));
        let scratch = half.scratch(64);
        let critical = half.acquire_critical(64).unwrap();
        drop(scratch);
        assert!(half.acquire(64).is_err());
        half.release(critical);
        assert!(half.acquire(64).is_ok());
    }

    #[test]
    fn reclaim_loses_no_later_release_and_takes_nothing_twice() {
        let bus = TypedEventBus::default();
        let published = Arc::new(Mutex::new(Vec::new()));
        let sink = published.clone();
        let _guard =
            bus.subscribe(move |event: &LeasesReclaimed| sink.lock().unwrap().push(*event));
        let (mut control, mut half) = BufferPool::builder().class(64, 4).build().unwrap();
        control.attach_publisher(bus.publisher().unwrap()).unwrap();
        half.begin_quantum(128);
        forget(half.scratch(10));
        forget(half.acquire(64));
        let shared = half.acquire(64).unwrap().freeze();
        let id = half.id();
        forget(half);
        // SAFETY: forgotten above, with two of the three buffers.
        let reclaimed = unsafe { control.reclaim(id) };
        assert_eq!(
            reclaimed,
            Reclaimed {
                count: 2,
                shared: 1
            }
        );
        // SAFETY: as above; it is not attached any more, so nothing happens.
        assert_eq!(unsafe { control.reclaim(id) }, Reclaimed::default());
        // SAFETY: there is no such half.
        assert_eq!(unsafe { control.reclaim(99) }, Reclaimed::default());
        assert_eq!(
            (control.leased(), control.metrics().leases_reclaimed),
            (1, 2)
        );
        bus.pump(usize::MAX);
        let event = LeasesReclaimed {
            holder: u32::from(id),
            count: 2,
            first_frame: Some(128),
        };
        assert_eq!(*published.lock().unwrap(), [event]);
        let next = control.attach_with(&[(64, 3)]).unwrap();
        drop(shared);
        let all: Vec<_> = core::iter::from_fn(|| next.acquire(64).ok()).collect();
        assert_eq!((all.len(), control.is_valid()), (4, true));
    }
}
