//! Giving memory back to the arena so that it coalesces, and leased buffers stay where they are.
//!
//! A class shrinks from the top: a line is drawn in the order of addresses, and what lies beyond it goes back as soon as
//! it is idle. The owner looks for such buffers in `begin_quantum`, a few at a time. Since buffers are carved at the
//! lowest address that fits, live ones crowd together, and what goes back lies side by side.

use serde::{Deserialize, Serialize};

use super::accounts::bytes;
use super::arena::{Run, UNIT_SAMPLES, natural_alignment, units};
use super::pool_control::{PoolControl, headroom};
use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::realtime::pool_core::{MAX_SHELVES, Pinned};
use crate::modules::data_management::realtime::shelf::{NO_LINE, Shelf};
use crate::modules::data_management::realtime::slot_table::Slot;
use crate::modules::data_management::sizing::sizing_rules::with_margin;

/// Buffers one defragmentation run moves at most: each may have to look at every free run.
const DEFRAGMENTATION_STEPS: u32 = 32;

/// The outcome of one bounded defragmentation run.
///
/// The percentages are [`fragmentation_percentage`](crate::modules::data_management::pool_metrics::PoolMetrics::fragmentation_percentage)
/// before the first step and after the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DefragmentationResult {
    /// Fragmentation when the run began, in percent.
    pub before_percentage: f32,
    /// Fragmentation when it ended, in percent.
    pub after_percentage: f32,
    /// Bytes of idle buffers handed back to the arena, or carved at a lower address instead.
    pub bytes_moved: usize,
    /// How many buffers that were.
    pub buffers_moved: u32,
    /// Steps taken: one for each buffer collected, carved anew or asked back.
    pub steps: u32,
    /// Whether nothing is left to do. If not, the owners still have to shed what was asked back: call again after some
    /// of their quanta.
    pub complete: bool,
    /// Longest free run when it ended, in samples.
    pub largest_free_run_samples: usize,
}

impl PoolControl {
    /// Asks `buffers` of a class back, those at the highest addresses, from the halves with the most headroom. They go
    /// to the arena once they are idle and their owner has come across them: see [`step`](Self::step). A half with a mix
    /// of its own ([`attach_with`](Self::attach_with)) gives nothing.
    ///
    /// # Errors
    /// [`UnknownClass`](PoolError::UnknownClass).
    pub fn shrink(&mut self, class_samples: usize, buffers: u32) -> Result<(), PoolError> {
        let of_class = |shelf: &Pinned<Shelf>| shelf.samples as usize == class_samples;
        let mut shelves: Vec<_> = self.anchor.shelves().filter(of_class).collect();
        if shelves.is_empty() {
            return Err(self.unknown_class(class_samples));
        }
        shelves.retain(|shelf| self.follows_demand(shelf.half));
        shelves.sort_unstable_by_key(|shelf| core::cmp::Reverse(headroom(shelf)));
        let mut left = buffers;
        for shelf in shelves {
            let draining = shelf.draining();
            let more = left.min(shelf.carved().saturating_sub(draining));
            self.drain(&shelf, draining + more);
            left -= more;
        }
        Ok(())
    }

    /// Asks back what is idle beyond the use since the last control step, and fills gaps that are too short for the
    /// largest class with idle buffers from higher addresses: one is carved in the gap, and the highest of its class goes
    /// back instead. So memory coalesces from the top, and no leased buffer moves. Classes that need what was given back
    /// are carved anew by the next plan.
    ///
    /// # Real-time
    /// For the control side. Bounded by a number of buffers; call again, some quanta later, while not `complete`.
    pub fn defragment(&mut self) -> DefragmentationResult {
        let before_percentage = self.fragmentation_percentage();
        let mut left = DEFRAGMENTATION_STEPS;
        let free_before = self.free.total();
        let collected = self.collect(&mut left);
        let bytes_collected = bytes(self.free.total() - free_before);
        self.drain_excess();
        let (refilled, bytes_refilled) = self.fill_gaps(&mut left);
        self.look_for_draining();
        let draining: u32 = self.anchor.shelves().map(|shelf| shelf.draining()).sum();
        DefragmentationResult {
            before_percentage,
            after_percentage: self.fragmentation_percentage(),
            bytes_moved: bytes_collected + bytes_refilled,
            buffers_moved: collected + refilled,
            steps: DEFRAGMENTATION_STEPS - left,
            complete: left > 0 && refilled == 0 && draining == 0,
            largest_free_run_samples: self.free.largest() as usize * UNIT_SAMPLES,
        }
    }

    /// A little of [`defragment`](Self::defragment), to be done before it is needed: fills up to `buffers` gaps.
    pub(super) fn fill_some_gaps(&mut self, buffers: u32) -> u32 {
        let mut left = buffers;
        self.fill_gaps(&mut left).0
    }

    /// Asks back what is idle beyond the peak of the last control step, with a margin.
    fn drain_excess(&mut self) {
        let shelves: Vec<_> = self.anchor.shelves().collect();
        self.know_places();
        for shelf in shelves {
            if !self.follows_demand(shelf.half) {
                continue;
            }
            let needed = with_margin(u64::from(shelf.window_peak()))
                .max(u64::from(shelf.leased() + shelf.target()));
            let excess = u64::from(shelf.carved()).saturating_sub(needed) as u32;
            if excess > shelf.draining() {
                self.drain(&shelf, excess);
            }
        }
        self.forget_places();
    }

    fn fill_gaps(&mut self, left: &mut u32) -> (u32, usize) {
        let core = self.anchor.core();
        let mut shelves: Vec<_> = core
            .shelves()
            .filter(|shelf| self.is_attached(shelf.half))
            .collect();
        shelves.sort_unstable_by_key(|shelf| core::cmp::Reverse(shelf.samples));
        let Some(largest) = self.classes().last().map(|samples| units(samples) as u32) else {
            return (0, 0);
        };
        let (mut moved, mut bytes_moved) = (0, 0);
        self.know_places();
        for shelf in shelves {
            if *left == 0 {
                break;
            }
            let size = units(shelf.samples as usize) as u32;
            let align = natural_alignment(size);
            let is_gap = |run: &Run| run.units >= size && run.units < largest;
            if shelf.idle() == 0 || !self.free.iter().any(|run| is_gap(&run)) {
                continue;
            }
            // Only idle buffers that lie above a gap can go down into it.
            let mut places = self.places(&shelf);
            let draining = shelf.draining();
            let mut exchanged = 0;
            while *left > 0 && exchanged + draining < shelf.idle() {
                let gap = self.free.iter().find(is_gap);
                let highest = places
                    .len()
                    .checked_sub(1 + (exchanged + draining) as usize);
                let worthwhile = gap.zip(highest).is_some_and(|(gap, highest)| {
                    gap.place_key() < *places.select_nth_unstable(highest).1
                });
                if !worthwhile || self.carve_one(&shelf, size, align, largest).is_err() {
                    break;
                }
                exchanged += 1;
                *left -= 1;
            }
            if exchanged > 0 {
                self.drain(&shelf, draining + exchanged);
                moved += exchanged;
                bytes_moved += bytes(exchanged as usize * size as usize);
            }
        }
        self.forget_places();
        (moved, bytes_moved)
    }

    /// Draws the line so that `buffers` of the shelf lie beyond it.
    pub(crate) fn drain(&mut self, shelf: &Shelf, buffers: u32) {
        let mut places = self.places(shelf);
        let line = match places.len().checked_sub(buffers as usize) {
            _ if buffers == 0 => NO_LINE,
            Some(at) if at < places.len() => *places.select_nth_unstable(at).1,
            _ => 0,
        };
        shelf.set_line(line);
        shelf.set_draining(buffers.min(places.len() as u32));
        shelf.ask_for_looks();
    }

    /// Lets up to `buffers` stay that were asked back; answers how many.
    pub(super) fn keep_draining(&mut self, shelf: &Shelf, buffers: u32) -> u32 {
        let draining = shelf.draining();
        let kept = draining.min(buffers);
        if kept > 0 {
            self.drain(shelf, draining - kept);
        }
        kept
    }

    /// Counts what still lies beyond the lines, and has owners look for what became idle since.
    pub(super) fn look_for_draining(&self) {
        let drawn = |shelf: &Pinned<Shelf>| shelf.line() != NO_LINE;
        if !self.anchor.shelves().any(|shelf| drawn(&shelf)) {
            return;
        }
        self.anchor
            .shelves()
            .for_each(|shelf| shelf.set_draining(0));
        let core = self.anchor.core();
        for index in self.anchor.table.indices() {
            let slot = self.anchor.table.slot(index);
            if slot.is_carved() {
                let shelf = core.shelf_of(index);
                if slot.place_key() >= shelf.line() {
                    shelf.set_draining(shelf.draining() + 1);
                }
            }
        }
        for shelf in self.anchor.shelves().filter(drawn) {
            match shelf.draining() {
                0 => shelf.set_line(NO_LINE),
                _ => shelf.ask_for_looks(),
            }
        }
    }

    /// Where the shelf's buffers lie, in no order.
    fn places(&mut self, shelf: &Shelf) -> Vec<u64> {
        let known = self.known_places.get_mut(usize::from(shelf.id));
        if let Some(places) = known.and_then(Option::take) {
            return places;
        }
        let table = &self.anchor.table;
        let slots = table.indices().map(|index| table.slot(index));
        slots
            .filter(|slot| slot.is_carved() && slot.shelf() == shelf.id)
            .map(Slot::place_key)
            .collect()
    }

    /// Looks once where everything lies, for whoever is to size several shelves: each may be asked for once, before
    /// anything of it is carved. To be forgotten afterwards.
    pub(super) fn know_places(&mut self) {
        self.known_places
            .resize_with(MAX_SHELVES, || Some(Vec::new()));
        let table = &self.anchor.table;
        for slot in table.indices().map(|index| table.slot(index)) {
            let of_shelf = self.known_places.get_mut(usize::from(slot.shelf()));
            if let Some(Some(places)) = of_shelf.filter(|_| slot.is_carved()) {
                places.push(slot.place_key());
            }
        }
    }

    pub(super) fn forget_places(&mut self) {
        self.known_places = Vec::new();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::{BufferPool, PooledBuffer, RealtimePool};

    const SMALL: usize = 256;
    const LARGE: usize = 1024;

    /// 64 small buffers and room for as much again.
    fn pool() -> (PoolControl, RealtimePool) {
        let pool = BufferPool::builder().class(SMALL, 64).class(LARGE, 1);
        pool.reserve_samples(2 * 64 * SMALL).build().unwrap()
    }

    fn acquire(half: &RealtimePool, count: usize) -> Vec<PooledBuffer> {
        (0..count).map(|_| half.acquire(SMALL).unwrap()).collect()
    }

    fn address(buffer: &PooledBuffer) -> usize {
        buffer.as_ptr().addr()
    }

    /// Lets the owner shed what was asked back.
    fn settle(control: &mut PoolControl, half: &mut RealtimePool) {
        for quantum in 0..32 {
            half.begin_quantum(quantum * 128);
            control.step(u32::MAX);
        }
    }

    #[test]
    fn a_class_shrinks_from_the_top() {
        let (mut control, mut half) = pool();
        let mut held = acquire(&half, 64);
        held.sort_unstable_by_key(address);
        let (low, high): (Vec<_>, Vec<_>) = {
            let high = held.split_off(40);
            (held, high)
        };
        let kept: Vec<usize> = low.iter().map(address).collect();
        control.shrink(SMALL, 24).unwrap();
        // One way home is by the owner, the other by another thread.
        for (index, buffer) in high.into_iter().enumerate() {
            if index % 2 == 0 {
                half.release(buffer)
            } else {
                drop(buffer)
            }
        }
        settle(&mut control, &mut half);
        let metrics = control.metrics();
        assert_eq!(
            (metrics.classes[0].carved, metrics.classes[0].draining),
            (40, 0)
        );
        drop(low);
        settle(&mut control, &mut half);
        let mut left: Vec<usize> = control
            .slots()
            .filter(|slot| slot.samples == SMALL)
            .map(|slot| slot.address)
            .collect();
        left.sort_unstable();
        assert_eq!(left, kept);
        assert!(control.is_valid());
    }

    #[test]
    fn a_leased_buffer_that_was_asked_back_stays_until_it_comes_home() {
        let (mut control, mut half) = pool();
        let held = acquire(&half, 64);
        control.shrink(SMALL, 64).unwrap();
        settle(&mut control, &mut half);
        assert_eq!(control.metrics().classes[0].draining, 64);
        assert_eq!(control.leased(), 64);
        drop(held);
        settle(&mut control, &mut half);
        assert_eq!(control.metrics().classes[0].carved, 0);
    }

    #[test]
    fn growing_first_keeps_what_was_asked_back() {
        let (mut control, half) = pool();
        let held = acquire(&half, 64);
        control.shrink(SMALL, 10).unwrap();
        control.grow(SMALL, 4).unwrap();
        let class = control.metrics().classes[0].clone();
        assert_eq!((class.carved, class.draining), (64, 6));
        control.grow(SMALL, 8).unwrap();
        let class = control.metrics().classes[0].clone();
        assert_eq!((class.carved, class.draining), (66, 0));
        drop(held);
    }

    #[test]
    fn gaps_are_filled_from_above_and_leased_buffers_stay() {
        let (mut control, mut half) = pool();
        // The upper half comes home, then every other one of the lower half; the last to come are the first to go.
        let mut held = acquire(&half, 64);
        held.sort_unstable_by_key(address);
        held.drain(32..).for_each(|buffer| half.release(buffer));
        for index in (0..16).rev() {
            half.release(held.remove(2 * index));
        }
        let kept: Vec<usize> = held.iter().map(address).collect();
        control.trim(SMALL, 32).unwrap();
        settle(&mut control, &mut half);
        control.trim(SMALL, u32::MAX).unwrap();
        let gaps = control.fragmentation_percentage();
        assert_eq!(gaps, (16 * SMALL) as f32 / (2 * 64 * SMALL) as f32 * 100.0);
        let (mut runs, mut steps) = (0, 0);
        let result = loop {
            let result = control.defragment();
            assert!(result.steps <= DEFRAGMENTATION_STEPS);
            (runs, steps) = (runs + 1, steps + result.steps);
            half.begin_quantum(0);
            if result.complete {
                break result;
            }
            assert!(runs < 100, "does not come to an end");
        };
        assert!(
            result.after_percentage < gaps / 2.0,
            "{gaps} -> {}",
            result.after_percentage
        );
        assert!(steps > 0);
        assert_eq!(held.iter().map(address).collect::<Vec<_>>(), kept);
        assert!(control.is_valid());
    }

    #[test]
    fn what_is_not_in_use_goes_back() {
        let (mut control, mut half) = pool();
        drop(acquire(&half, 60));
        settle(&mut control, &mut half);
        control.begin_peak_window();
        let held = acquire(&half, 10);
        let before = control.bytes_held();
        control.defragment();
        // Some of them may lie beyond the line: these go back when they come home.
        drop(held);
        settle(&mut control, &mut half);
        assert_eq!(control.metrics().classes[0].carved, with_margin(10));
        assert!(control.bytes_held() < before);
    }

    #[test]
    fn an_unknown_class_is_named() {
        let (mut control, _half) = pool();
        assert_eq!(
            control.shrink(77, 1),
            Err(PoolError::UnknownClass {
                samples: 77,
                nearest: SMALL
            })
        );
    }
}
