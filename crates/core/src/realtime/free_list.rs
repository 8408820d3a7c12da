//! Lists of idle buffers that threads share, linked through the slots.
//!
//! A list is only ever taken whole. So the ABA problem does not arise: a head that was read, taken and built again in
//! between still names the slot that a pusher linked to. A list that is closed, or that its owner is taking, accepts
//! no push.

use super::orderings::{LIST_BEGIN_TAKE, LIST_PUSH, LIST_TAKE};
use super::slot_table::{INDEX_BITS, Link, OptionalIndex, SlotIndex, SlotState, SlotTable};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::spin_loop;

/// The one word of a list: `[taking:1][newly_carved:15][length:24][first index:24]`.
///
/// `newly_carved` counts the buffers that nobody returned: from the control half, or pushed back by the owner after a scan.
/// The rest was returned. `taking` keeps pushers out while the owner links the chain to its own list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ListHead(u64);

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const ONE_LONGER: u64 = 1 << INDEX_BITS;
const NEWLY_CARVED_SHIFT: u32 = 2 * INDEX_BITS;
/// Attempts of the owner to push buffers back to its own inbox before it keeps them on the local list.
const SCANNED_PUSH_ATTEMPTS: u32 = if cfg!(loom) { 1 } else { 3 };
/// Attempts of the control half to meet a moment at which the owner is not taking, before it treats the inbox as full.
const NEWLY_CARVED_ATTEMPTS: u32 = if cfg!(loom) { 2 } else { 1000 };
/// The only pusher of a list fails at most once: see [`SharedList::push_single`].
const SINGLE_PUSH_ATTEMPTS: u32 = if cfg!(wavepool_mutant = "single_push_tried_once") {
    1
} else {
    2
};
/// What one buffer from the control half adds to `newly_carved`.
const ONE_NEWLY_CARVED: u64 = if cfg!(wavepool_mutant = "newly_carved_not_counted") {
    0
} else {
    1
};
const TAKING: u64 = 1 << 63;
/// Most newly carved buffers in one inbox list. One more would make the word that marks a closed list.
pub const MAX_NEWLY_CARVED: u64 = if cfg!(miri) {
    // Tests fill it, and the interpreter is slow.
    254
} else {
    (TAKING >> NEWLY_CARVED_SHIFT) - 2
};

impl ListHead {
    const EMPTY: Self = Self(OptionalIndex::NONE.raw() as u64);
    /// No live head has this value: a table has fewer slots than the largest length.
    const CLOSED: Self = Self(u64::MAX);

    const fn first(self) -> OptionalIndex {
        OptionalIndex::from_raw((self.0 & INDEX_MASK) as u32)
    }

    const fn length(self) -> u32 {
        (self.0 >> INDEX_BITS & INDEX_MASK) as u32
    }

    const fn newly_carved(self) -> u64 {
        (self.0 & !TAKING) >> NEWLY_CARVED_SHIFT
    }

    /// Whether the list is closed, or its owner is taking it.
    const fn is_closed_or_taken(self) -> bool {
        self.0 & TAKING != 0
    }

    /// Why a push of slots, so many of them newly carved, is refused now; none if it is not.
    #[inline(always)]
    fn refusal(self, newly_carved: u64) -> Option<PushRefused> {
        if self.is_closed_or_taken() {
            if self == Self::CLOSED {
                return Some(PushRefused::Closed);
            }
            if !cfg!(wavepool_mutant = "push_ignores_mark") {
                return Some(PushRefused::Taking);
            }
        }
        let is_full = newly_carved > 0 && self.newly_carved() + newly_carved > MAX_NEWLY_CARVED;
        is_full.then_some(PushRefused::Full)
    }

    /// With `added` more slots, the first of them in front, `newly_carved` of them from the control half.
    const fn with_pushed(self, first: SlotIndex, added: u32, newly_carved: u64) -> Self {
        let counts = (self.0 & !INDEX_MASK)
            + added as u64 * ONE_LONGER
            + (newly_carved << NEWLY_CARVED_SHIFT);
        Self(counts | first.raw() as u64)
    }
}

/// Why a push was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushRefused {
    /// The list holds as many newly carved buffers as it can count.
    Full,
    /// The pool is being torn down.
    Closed,
    /// The owner is taking the list: another push may succeed in a moment.
    Taking,
    /// Other threads won each attempt.
    Contended,
}

/// Slots linked by `next`, owned by one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) first: OptionalIndex,
    pub(crate) length: u32,
    /// How many of them nobody returned: newly carved, or pushed back by the owner after a scan.
    pub(crate) newly_carved: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self {
        first: OptionalIndex::NONE,
        length: 0,
        newly_carved: 0,
    };

    /// Pushes a slot to the front.
    pub(crate) fn push(&mut self, table: &SlotTable, index: SlotIndex) {
        table.slot(index).state.next.set(self.first);
        self.first = OptionalIndex::some(index);
        self.length += 1;
    }

    /// Pops the front slot.
    pub(crate) fn pop(&mut self, table: &SlotTable) -> Option<SlotIndex> {
        let index = self.first.get()?;
        self.first = table.slot(index).state.next.get();
        self.length -= 1;
        Some(index)
    }

    /// The last slot: walks over the whole chain.
    pub(super) fn last(self, table: &SlotTable) -> Option<SlotIndex> {
        let mut last = self.first.get()?;
        for _ in 1..self.length {
            last = table.slot(last).state.next.get().get()?;
        }
        Some(last)
    }
}

/// A list that any thread may push to, and that is only taken whole.
pub(crate) struct SharedList(AtomicU64);

impl SharedList {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(ListHead::EMPTY.0))
    }

    /// One attempt to push a chain whose last slot has the link `last`. Returns none if the head has changed meanwhile;
    /// `head` is the new one then.
    ///
    /// The arguments are words and one link: the moment the push succeeds, another thread may free the pool, and a
    /// reference to anything but atomics (even to a byte of padding) would have to stay valid until the return.
    #[inline(always)]
    fn try_push(
        &self,
        head: &mut ListHead,
        last: &Link,
        (first, length): (SlotIndex, u32),
        newly_carved: u64,
    ) -> Option<Result<(), PushRefused>> {
        if let Some(refusal) = head.refusal(newly_carved) {
            return Some(Err(refusal));
        }
        last.set(head.first());
        let with_pushed = head.with_pushed(first, length, newly_carved);
        // After success the slots are the taker's: nothing of the pool may be touched any more.
        let pushed = self
            .0
            .compare_exchange(head.0, with_pushed.0, LIST_PUSH, Ordering::Relaxed);
        match pushed {
            Ok(_) => Some(Ok(())),
            Err(now) => {
                *head = ListHead(now);
                None
            }
        }
    }

    fn head(&self) -> ListHead {
        ListHead(self.0.load(Ordering::Relaxed))
    }

    /// Pushes one slot. Lock-free: each retry means that another push or take succeeded.
    #[inline]
    pub(super) fn push(&self, state: &SlotState, index: SlotIndex) -> Result<(), PushRefused> {
        let mut head = self.head();
        loop {
            if let Some(done) = self.try_push(&mut head, &state.next, (index, 1), 0) {
                return done;
            }
        }
    }

    /// [`push`](Self::push) by the only pusher of this list: at most two attempts, because between them only a take
    /// can have come, and after it the head is empty until this thread pushes.
    pub(super) fn push_single(
        &self,
        table: &SlotTable,
        index: SlotIndex,
    ) -> Result<(), PushRefused> {
        let (mut head, link) = (self.head(), &table.slot(index).state.next);
        (0..SINGLE_PUSH_ATTEMPTS)
            .find_map(|_| self.try_push(&mut head, link, (index, 1), 0))
            .unwrap_or(Err(PushRefused::Contended))
    }

    /// Pushes back what the owner scanned and keeps, `last` at the end of the chain. These count as newly carved,
    /// since nobody returned them. Wait-free: returns `false` after a few attempts that other pushers won.
    pub(super) fn push_scanned(&self, table: &SlotTable, chain: Chain, last: SlotIndex) -> bool {
        let Some(first) = chain.first.get() else {
            return true;
        };
        if cfg!(wavepool_mutant = "push_scanned_does_nothing") {
            return true;
        }
        let (mut head, mut link) = (self.head(), &table.slot(last).state.next);
        let other = Link::new();
        if cfg!(wavepool_mutant = "push_scanned_forgets_the_rest") {
            link = &other;
        }
        let (chain, newly_carved) = ((first, chain.length), u64::from(chain.length));
        (0..SCANNED_PUSH_ATTEMPTS)
            .find_map(|_| self.try_push(&mut head, link, chain, newly_carved))
            .is_some_and(|done| done.is_ok())
    }

    /// Pushes one buffer of the control half. Lock-free.
    pub(super) fn push_newly_carved(
        &self,
        table: &SlotTable,
        index: SlotIndex,
    ) -> Result<(), PushRefused> {
        let (mut head, link) = (self.head(), &table.slot(index).state.next);
        loop {
            if let Some(done) = self.try_push(&mut head, link, (index, 1), ONE_NEWLY_CARVED) {
                return done;
            }
        }
    }

    /// Takes everything with one swap, where no owner can be taking: the swap would erase its mark. Wait-free.
    #[inline]
    pub(crate) fn take(&self) -> Chain {
        Self::chain(ListHead(self.0.swap(ListHead::EMPTY.0, LIST_TAKE)))
    }

    /// The first step of the owner's take: returns the chain and keeps pushers out until [`end_take`](Self::end_take).
    /// The chain stays in the head meanwhile, so that it is found there if the owner dies before it is linked
    /// elsewhere. The list is neither closed nor marked: another addition would overflow into the next field. Wait-free.
    pub(super) fn begin_take(&self) -> Chain {
        Self::chain(ListHead(self.0.fetch_add(TAKING, LIST_BEGIN_TAKE)))
    }

    /// [`begin_take`](Self::begin_take), if the list is not empty, has no more than `most` slots, and nobody pushes at
    /// this moment.
    pub(super) fn begin_take_at_most(&self, most: u32) -> Option<Chain> {
        let head = self.head();
        if head.is_closed_or_taken() || !(1..=most).contains(&head.length()) {
            return None;
        }
        let mark = if cfg!(wavepool_mutant = "join_without_mark") {
            0
        } else {
            TAKING
        };
        self.0
            .compare_exchange(head.0, head.0 | mark, LIST_BEGIN_TAKE, Ordering::Relaxed)
            .is_ok()
            .then(|| Self::chain(head))
    }

    /// The last step of the owner's take: the chain is on its own list now.
    pub(super) fn end_take(&self) {
        // Relaxed: nobody else changes the head during a take, and an empty head publishes no slot.
        self.0.store(ListHead::EMPTY.0, Ordering::Relaxed);
    }

    /// Takes everything while the owner may be running; nothing while that one is taking.
    pub(crate) fn take_unless_taking(&self) -> Chain {
        let mut head = self.head();
        let in_use = |head: ListHead| {
            if cfg!(wavepool_mutant = "take_ignores_mark") {
                head == ListHead::CLOSED
            } else {
                head.is_closed_or_taken()
            }
        };
        while !in_use(head) {
            match self.0.compare_exchange_weak(
                head.0,
                ListHead::EMPTY.0,
                LIST_TAKE,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Self::chain(head),
                Err(now) => head = ListHead(now),
            }
        }
        Chain::EMPTY
    }

    /// Takes everything and refuses every push from now on.
    pub(super) fn close(&self) -> Chain {
        // A pusher that reads `CLOSED` goes on to the core's outstanding count, which orders the rest.
        Self::chain(ListHead(self.0.swap(ListHead::CLOSED.0, LIST_TAKE)))
    }

    fn chain(head: ListHead) -> Chain {
        if head == ListHead::CLOSED {
            return Chain::EMPTY;
        }
        Chain {
            first: head.first(),
            length: head.length(),
            newly_carved: head.newly_carved() as u32,
        }
    }

    /// The list, to be read while nobody pushes or takes.
    pub(crate) fn peek(&self) -> Chain {
        Self::chain(ListHead(self.0.load(LIST_TAKE)))
    }

    /// Its length. Another thread can change that at any moment.
    #[inline]
    pub(super) fn length(&self) -> u32 {
        let head = self.head();
        if head == ListHead::CLOSED {
            0
        } else {
            head.length()
        }
    }
}

/// Idle buffers on their way to the owner: released on any thread, newly carved by the control half, or pushed back by the
/// owner after a scan. Pushers use `side` while the owner is taking `front`.
/// See `docs/decisions/0008-three-free-lists-per-size-class.md`.
pub(crate) struct Inbox {
    pub(crate) front: SharedList,
    pub(super) side: SharedList,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            front: SharedList::new(),
            side: SharedList::new(),
        }
    }

    pub(crate) const fn lists(&self) -> [&SharedList; 2] {
        [&self.front, &self.side]
    }

    /// As [`SharedList::push`]; fails only once the inbox is closed. Lock-free: the owner takes one list at a time,
    /// so that a pusher that finds both taken knows that one take has ended in between.
    #[inline]
    pub(crate) fn push(&self, state: &SlotState, index: SlotIndex) -> Result<(), PushRefused> {
        loop {
            match self.front.push(state, index) {
                Err(PushRefused::Taking) => {}
                done => return done,
            }
            match self.side.push(state, index) {
                Err(PushRefused::Taking) => {}
                done => return done,
            }
            // The owner has finished one of the two takes meanwhile.
            spin_loop();
        }
    }

    /// Pushes one buffer of the control half. Returns `false` when both lists hold as many newly carved buffers as
    /// they can count, or are closed. While the owner is taking one of them that is not known, and this tries again,
    /// but not for ever: the owner may have died there.
    pub(crate) fn push_newly_carved(&self, table: &SlotTable, index: SlotIndex) -> bool {
        for _ in 0..NEWLY_CARVED_ATTEMPTS {
            let mut held = false;
            for list in self.lists() {
                match list.push_newly_carved(table, index) {
                    Ok(()) => return true,
                    Err(shut) => held |= shut == PushRefused::Taking,
                }
            }
            if !held {
                return false;
            }
            spin_loop();
        }
        false
    }

    /// Refuses every push from now on, and returns how many buffers there were. The owner is gone.
    pub(super) fn close(&self) -> u32 {
        self.front.close().length + self.side.close().length
    }

    #[inline]
    pub(super) fn length(&self) -> u32 {
        self.front.length() + self.side.length()
    }

    /// Whether both lists are empty and the owner is taking neither.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        (self.front.head() == ListHead::EMPTY) & (self.side.head() == ListHead::EMPTY)
    }

    /// Newly carved buffers that wait here. Other threads can change that at any moment.
    pub(crate) fn newly_carved(&self) -> u32 {
        self.front.peek().newly_carved + self.side.peek().newly_carved
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "free_list_tests.rs"]
mod tests;
