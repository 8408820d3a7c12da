//! What a half does when a quantum begins, and what it tells of its buffers.
//!
//! Most quanta find nothing to do, so that what they look at is little: one word of the control half's, which says whether
//! it asked for anything, one for a new class table, and one class, each in turn. What comes home from other threads says
//! nothing, since whoever brings it would have to write to a line that every other one writes to. So a class learns of it
//! in its turn, or sooner: when its own list is empty.

use super::realtime_pool::RealtimePool;
use super::shelf::Shelf;
use crate::event_bus::{BusError, Publisher};
use crate::modules::data_management::pool_events::{
    BufferPoolAllocation, BufferPoolRecycling, declare_for,
};

/// Buffers one class looks at, to shed them, in one quantum: enough for several hundred to change hands within 50 ms,
/// few enough to take less than a microsecond.
const SHED_PER_QUANTUM: u32 = 64;

/// What a half knows from one quantum to the next.
pub(super) struct Quantum {
    /// Whether anybody listened to the allocation or recycling events when this quantum began.
    pub(super) heard: bool,
    /// Acquires whose count has any of these bits are neither recorded nor told: all but one in so many, none while anybody
    /// listens.
    pub(super) unwatched: u64,
    /// Whether a class had something left to do when it was last looked after.
    restless: bool,
    /// How often the control half had asked when all classes were last looked after.
    answered: u32,
    /// The class looked at last.
    turn: usize,
}

impl Quantum {
    /// The first quantum looks after every class: nobody knows what was asked of an owner before.
    pub(super) const fn new(sample_every: u64) -> Self {
        Self {
            heard: false,
            unwatched: sample_every - 1,
            restless: true,
            answered: 0,
            turn: 0,
        }
    }
}

impl RealtimePool {
    /// From now on this half's events go out here. Control side: attach before the half goes to its thread.
    ///
    /// Who subscribes later to allocations or recyclings hears of them from the next [`begin_quantum`](Self::begin_quantum)
    /// on. The pool's event types are declared on the publisher's bus, so that JSON subscribers get them all.
    ///
    /// # Errors
    /// The bus's, when it cannot declare the types: the publisher is not attached then.
    pub fn attach_publisher(&mut self, publisher: Publisher) -> Result<(), BusError> {
        declare_for(&publisher)?;
        self.publisher = Some(publisher);
        self.listen();
        Ok(())
    }

    /// Begins a callback: takes up a new class table if there is one, sheds a few surplus buffers if the control half asked
    /// for it, tells the bus what `Scratch` did in the quantum before, and takes in what came home from other threads.
    ///
    /// Of that it looks at one class in each quantum, in turn, so that a buffer may wait for as many quanta as the half has
    /// classes; while anybody listens to allocations or recyclings, or while the control half has asked for something, it
    /// looks at all. A class whose own list is empty does not wait.
    ///
    /// # Real-time
    /// Wait-free: a bounded number of steps per class.
    pub fn begin_quantum(&mut self, first_frame: u64) {
        self.begin(Some(first_frame));
    }

    /// [`begin_quantum`](Self::begin_quantum) for a half that follows no stream: what it tells carries no frame.
    pub fn begin_round(&mut self) {
        self.begin(None);
    }

    #[inline(always)]
    fn begin(&mut self, first_frame: Option<u64>) {
        self.listen();
        let half = self.half.0;
        if half.is_offered_a_table() {
            self.take_up();
        }
        let asked = self.anchor.asked(half.id);
        if (asked != self.quantum.answered) | self.quantum.heard | self.quantum.restless {
            self.look_after_all(asked);
        } else {
            let shelf = self.table.in_turn(&mut self.quantum.turn);
            if shelf.is_astir() {
                self.quantum.restless = self.look_after(&shelf);
            }
        }
        self.first_frame = first_frame;
        half.frame.set(first_frame);
        half.quanta.add(1);
    }

    #[cold]
    #[inline(never)]
    fn take_up(&mut self) {
        if let Some(table) = self.half.0.pick_up() {
            self.table = table;
            self.quantum.restless = true;
        }
    }

    #[inline(always)]
    fn listen(&mut self) {
        let may_be_heard = self.publisher.as_ref().is_some_and(|publisher| {
            publisher.may_be_heard::<BufferPoolAllocation, BufferPoolRecycling>()
        });
        if may_be_heard | self.quantum.heard {
            self.listen_closely();
        }
    }

    #[inline(never)]
    fn listen_closely(&mut self) {
        let heard = self.publisher.as_ref().is_some_and(|publisher| {
            publisher.is_heard::<BufferPoolAllocation>()
                || publisher.is_heard::<BufferPoolRecycling>()
        });
        if heard != self.quantum.heard {
            self.begin_to_tell(heard);
        }
    }

    /// Begins to tell, or stops.
    #[cold]
    fn begin_to_tell(&mut self, heard: bool) {
        self.quantum.heard = heard;
        self.quantum.unwatched = if heard {
            0
        } else {
            self.options.sample_every - 1
        };
        self.half.0.set_heard(heard);
        // What nobody listened to is not told later.
        self.table.all().for_each(|shelf| _ = shelf.untold());
    }

    /// Looks after every class, where the control half had asked so often before: what it asks for meanwhile is seen at the
    /// next quantum.
    #[inline(never)]
    fn look_after_all(&mut self, asked: u32) {
        let wanted = (asked != self.quantum.answered) | self.quantum.restless;
        let mut restless = false;
        for shelf in self.table.all() {
            if wanted || shelf.is_astir() {
                restless |= self.look_after(shelf);
            } else {
                self.tell_untold(shelf, 0);
            }
        }
        self.quantum.restless = restless;
        self.quantum.answered = if cfg!(wavepool_mutant = "epoch_read_after_the_look") {
            self.anchor.asked(self.half.0.id)
        } else {
            asked
        };
    }

    /// Answers whether the next quantum has to go on with it.
    #[inline(never)]
    fn look_after(&self, shelf: &Shelf) -> bool {
        let shed = if self.anchor.is_controlled() {
            SHED_PER_QUANTUM
        } else {
            0
        };
        let returned = shelf.settle(&self.anchor.table, shed);
        self.tell_untold(shelf, returned);
        shelf.is_wanted()
    }

    /// Tells what `Scratch` did since it was last told, and what else returned.
    pub(super) fn tell_untold(&self, shelf: &Shelf, returned: u32) {
        if !self.quantum.heard {
            return;
        }
        let (scratches, returns) = shelf.untold();
        if scratches > 0 {
            self.tell_allocation(shelf, scratches, 0, u32::MAX);
        }
        self.tell_recycling(shelf, returns + returned);
    }

    pub(super) fn tell_allocation(&self, shelf: &Shelf, count: u32, requested: u32, slot: u32) {
        if self.quantum.heard
            && let Some(publisher) = &self.publisher
        {
            publisher.publish(BufferPoolAllocation {
                class_samples: shelf.samples,
                requested,
                slot,
                count,
                half: shelf.half,
                first_frame: self.first_frame,
            });
        }
    }

    /// Tells of one buffer that its holder released here.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_return(&self, shelf: &Shelf) {
        shelf.returns_told.add(1);
        self.tell_recycling(shelf, 1);
    }

    pub(super) fn tell_recycling(&self, shelf: &Shelf, count: u32) {
        if self.quantum.heard
            && count > 0
            && let Some(publisher) = &self.publisher
        {
            publisher.publish(BufferPoolRecycling {
                class_samples: shelf.samples,
                count,
                half: shelf.half,
                first_frame: self.first_frame,
            });
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use crate::modules::data_management::BufferPool;

    /// Classes whose own list has as many idle buffers as the class has.
    fn full(half: &super::RealtimePool) -> usize {
        let full = |shelf: &&super::Shelf| shelf.local() == shelf.carved();
        half.table.all().filter(full).count()
    }

    #[test]
    fn what_came_home_is_taken_in_within_a_round_of_the_classes() {
        let (_control, mut half) = BufferPool::builder()
            .class(64, 2)
            .class(128, 2)
            .class(256, 2)
            .build()
            .unwrap();
        half.begin_quantum(0);
        assert_eq!(full(&half), 3);
        for first in 0..3 {
            drop([64, 128, 256].map(|samples| half.acquire(samples).unwrap()));
            assert_eq!(full(&half), 0);
            for taken_in in 1..=3 {
                half.begin_quantum(128);
                assert_eq!(full(&half), taken_in, "in round {first}");
            }
            // The next round begins elsewhere.
            half.begin_quantum(128);
        }
        // One that needs it does not wait for its turn.
        let all = [0, 1].map(|_| half.acquire(256).unwrap());
        drop(all);
        assert!(half.acquire(256).is_ok());
    }

    #[test]
    fn what_is_asked_of_one_class_is_done_in_the_next_quantum_and_those_after_it() {
        let (_control, mut half) = BufferPool::builder()
            .class(64, 200)
            .class(128, 200)
            .build()
            .unwrap();
        for quantum in 0..5 {
            half.begin_quantum(quantum);
        }
        half.table.all().for_each(|shelf| shelf.set_limit(0));
        for left in [272, 144, 16, 0] {
            half.begin_quantum(0);
            let idle: u32 = half.table.all().map(super::Shelf::idle_of_owner).sum();
            assert_eq!(idle, left);
        }
    }
}
