//! One size class of one half: its idle buffers wait on three lists.
//!
//! | list | who pushes | who takes |
//! |---|---|---|
//! | local | the owner | the owner, one at a time, with plain loads and stores |
//! | inbox | any thread, with one compare-and-swap for each buffer | the owner takes all with one swap |
//! | surplus | the owner | the control half takes all with one swap |
#![allow(unsafe_code)] // The pool lives longer than its size classes.

use super::cells::{Counter, LongWord, Word};
use super::free_list::{Inbox, SharedList};
use super::one_slot_cache::{CacheState, OneSlotCache};
use super::pool_state::{MAX_HALVES, OnRelease, PoolState};
use super::shared_ptr::SharedPtr;
use super::slot_table::Link;

/// The threshold that no address reaches: nothing is reclaimed.
pub(crate) const NO_THRESHOLD: u64 = u64::MAX;
/// No fast-path credit, however many buffers return before the next acquire.
const NO_CREDIT: i64 = i64::MIN / 2;

/// Stored in place of the window's peak by the control half, after it has read it: the owner starts a new window.
pub(super) const PEAK_RESTARTS: u32 = u32::MAX;

/// One size class of one half: its idle buffers, and the counts of all others.
///
/// Invariant while no thread is inside an operation: `carved = local + inbox.length() + surplus.length() + leased`.
/// `leased` is what handles own. `local` is the cached buffer and the local list. The local list has `transfers +
/// pushes − pops` buffers, the length of the chain at `first`.
///
/// The one-slot cache holds the buffer that was released last, outside of the local list and with the address of its
/// samples. Most acquires follow a release of the same class and are served by it without a look at the list or the
/// slot. The list is popped only while the cache is empty, or while all buffers outside of the list, the cached one
/// included, are no more than the peak: so every pop that could make a new peak counts exactly what is in use. Every
/// function that walks over the list flushes the cache first.
///
/// The length of the local list is a difference of counts that only rise. `credit` is the one word that both an
/// acquire and a release change.
///
/// The fields lie on three groups of cache lines: what seldom changes and every thread reads that releases a buffer;
/// what the owner writes; what other threads write.
/// See `docs/decisions/0008-three-free-lists-per-size-class.md`.
#[repr(C, align(64))]
pub(crate) struct SizeClass {
    /// The pool that the class belongs to, and that lives longer.
    pool: SharedPtr<PoolState>,
    /// Capacity of its buffers, in samples.
    pub(crate) samples: u32,
    /// Local buffers that only critical acquires may take.
    pub(super) reserve: u32,
    /// Identifies the half that owns the class, in one comparison: no other half of any pool has the same key.
    pub(super) owner: HalfKey,
    /// The half that the class belongs to, and the number of the class in the core's directory.
    pub(crate) half: u16,
    pub(crate) id: u16,
    /// What happens to the samples of a released buffer.
    pub(super) on_release: OnRelease,
    /// Buffers at or above this address are reclaimed, up to `shared.shed_goal`: see [`Slot::address_key`]. The control
    /// half writes it, seldom. The owner reads it with each buffer that is released.
    ///
    /// [`Slot::address_key`]: super::slot_table::Slot::address_key
    pub(super) reclaim_threshold: LongWord,
    owner_part: CacheLine,
    /// The owner writes it, like every field down to `window_peak`.
    pub(super) cache: OneSlotCache,
    /// First slot of the local list, or none.
    pub(super) first: Link,
    /// Buffers popped off the local list by acquires.
    pub(super) pops: Counter,
    /// Buffers that the owner pushed to the local list when they were released.
    pub(crate) pushes: Counter,
    /// Fast-path credit (signed): acquires that may still pop without a check of the reserve and the peak. At most the
    /// length of the local list less the reserve, and at most the window's peak less what is in use. Between two
    /// refills the inbox only grows, so that this many acquires cannot make a new peak.
    credit: LongWord,
    /// Buffers that came to the local list from the inbox, less those that left it for the surplus or the arena;
    /// wraps.
    pub(super) transfers: LongWord,
    /// Buffers popped off the local list other than by `Scratch`.
    pub(super) list_acquires: Counter,
    /// Acquires served by this class for a request of the class below.
    pub(super) served_for_smaller: Counter,
    /// Acquires by `Scratch` that were published in an event, and returns that were.
    pub(super) scratches_published: Counter,
    pub(super) returns_published: Counter,
    /// Returned buffers that arrived through the inbox.
    pub(super) inbox_returns: Counter,
    /// Buffers that went to the surplus.
    pub(super) shed: LongWord,
    /// Idle buffers that the owner scanned on request of the control half.
    pub(super) scanned: Counter,
    /// Requests of this class served by the next larger class.
    pub(crate) borrowed: Counter,
    /// Requests of this class that were refused.
    pub(crate) exhausted: Counter,
    /// Most buffers in use at once: since the class was made, and since the control half last restarted the window.
    pub(super) peak: Word,
    pub(super) window_peak: Word,

    pub(crate) shared: SharedSide,
}

/// Identifies a half by an address inside its pool: the halves of one pool differ, and pools do not overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfKey(usize);

impl HalfKey {
    pub(super) fn new(pool: &PoolState, half: u16) -> Self {
        const { assert!(size_of::<PoolState>() >= MAX_HALVES) };
        Self(core::ptr::from_ref(pool).addr() + usize::from(half))
    }
}

/// Makes the next field begin a cache line.
#[repr(align(64))]
struct CacheLine;

/// The part of a size class that other threads write.
#[repr(align(64))]
pub(crate) struct SharedSide {
    pub(crate) inbox: Inbox,
    pub(crate) surplus: SharedList,
    /// Buffers of the class that exist. The control half adds to it before it pushes them, and subtracts after it took
    /// them.
    pub(super) carved: Word,
    /// The owner sheds idle buffers above this many to the surplus. The control half writes it.
    pub(super) limit: Word,
    /// Buffers that were collected from the surplus. Only the control half uses it.
    pub(super) collected: LongWord,
    /// The total of buffers that are to have gone to the surplus: up to there the owner sheds those at or above the
    /// reclaim threshold. The control half writes it.
    pub(super) shed_goal: LongWord,
    /// The total of idle buffers that the owner is to have scanned, to shed those above the threshold. The control
    /// half writes it.
    pub(super) scan_request: LongWord,
    /// The control half replenishes idle buffers below this many. Only the control half uses it.
    pub(crate) target: Word,
}

impl SizeClass {
    /// # Safety
    /// The pool lives as long as the size class.
    pub(super) unsafe fn new(
        pool: SharedPtr<PoolState>,
        on_release: OnRelease,
        (half, id): (u16, u16),
        samples: u32,
        reserve: u32,
    ) -> Self {
        Self {
            pool,
            samples,
            reserve,
            // SAFETY: it lives now, by the function's contract.
            owner: HalfKey::new(unsafe { pool.get() }, half),
            half,
            id,
            on_release,
            reclaim_threshold: LongWord::new(NO_THRESHOLD),
            owner_part: CacheLine,
            cache: OneSlotCache::new(initial_cache_state(on_release, reserve)),
            first: Link::new(),
            pops: Counter::default(),
            pushes: Counter::default(),
            credit: LongWord::new(NO_CREDIT as u64),
            transfers: LongWord::new(0),
            list_acquires: Counter::default(),
            served_for_smaller: Counter::default(),
            scratches_published: Counter::default(),
            returns_published: Counter::default(),
            inbox_returns: Counter::default(),
            shed: LongWord::new(0),
            scanned: Counter::default(),
            borrowed: Counter::default(),
            exhausted: Counter::default(),
            peak: Word::new(0),
            window_peak: Word::new(0),
            shared: SharedSide {
                inbox: Inbox::new(),
                surplus: SharedList::new(),
                carved: Word::new(0),
                limit: Word::new(u32::MAX),
                collected: LongWord::new(0),
                shed_goal: LongWord::new(0),
                scan_request: LongWord::new(0),
                target: Word::new(0),
            },
        }
    }

    #[inline(always)]
    pub(super) fn pool(&self) -> &PoolState {
        // SAFETY: it lives as long as this size class, by the contract of `new`.
        unsafe { self.pool.get() }
    }

    #[inline(always)]
    pub(super) const fn pool_ptr(&self) -> SharedPtr<PoolState> {
        self.pool
    }

    /// Whether a buffer of the class holds a request of `samples`. No class serves a request for no samples.
    #[inline(always)]
    pub(crate) const fn serves(&self, samples: usize) -> bool {
        samples.wrapping_sub(1) < self.samples as usize
    }

    // The credit and the peaks. Only the owner writes them: see `local_list.rs`.

    /// Buffers pushed less buffers popped: the length of the local list without the transfers.
    #[inline(always)]
    pub(super) fn net_pushes(&self) -> i64 {
        self.pushes.get().wrapping_sub(self.pops.get()) as i64
    }

    #[inline(always)]
    pub(super) fn credit(&self) -> i64 {
        self.credit.get() as i64
    }

    #[inline(always)]
    pub(super) fn set_credit(&self, credit: i64) {
        self.credit.set(credit as u64);
    }

    /// Whether a slot may be popped although the credit is used up. Updates the peak and the credit if so.
    #[cold]
    #[inline(never)]
    pub(super) fn check_credit_slowly(&self) -> bool {
        if self.listed() <= self.reserve {
            self.set_credit(NO_CREDIT);
            return false;
        }
        self.update_peak(self.net_pushes() - 1);
        true
    }

    /// Adds to the transfers: `more` slots came to the local list, or left it, without an acquire or a release.
    pub(super) fn transfer(&self, more: i64) {
        let transfers = self.transfers.get();
        self.transfers.set(transfers.wrapping_add_signed(more));
        self.set_credit(NO_CREDIT);
    }

    /// Starts a new window of the peak if the control half restarted it: what is in use now counts, and so does the
    /// next acquire. The cache is empty.
    pub(super) fn begin_window(&self) {
        if self.window_peak_restarts() {
            self.update_peak(self.net_pushes());
        }
    }

    pub(super) fn window_peak_restarts(&self) -> bool {
        self.window_peak.get() == PEAK_RESTARTS
    }

    /// Updates the peaks for the number of buffers in use, and grants new credit.
    pub(super) fn update_peak(&self, net_pushes: i64) {
        let transfers = self.transfers.get() as i64;
        let idle = (transfers + net_pushes) as u32
            + self.shared.inbox.length()
            + self.shared.surplus.length();
        let in_use = self.carved().saturating_sub(idle);
        if in_use > self.peak.get() {
            self.peak.set(in_use);
        }
        let window_peak = self.noted_window_peak();
        if in_use > window_peak || self.window_peak_restarts() {
            self.window_peak.set(in_use);
        }
        let below_peak = i64::from(window_peak.saturating_sub(in_use));
        let beyond_reserve = transfers + net_pushes - i64::from(self.reserve);
        self.set_credit(below_peak.min(beyond_reserve));
    }

    pub(crate) fn idle_of_owner(&self) -> u32 {
        self.local() + self.shared.inbox.length()
    }
}

/// The first state of a cache: disabled where samples are scrubbed on release, or where the reserve makes every
/// acquire count the list.
pub(super) fn initial_cache_state(on_release: OnRelease, reserve: u32) -> CacheState {
    if on_release != OnRelease::Scrub && reserve == 0 {
        CacheState::Vacant
    } else {
        CacheState::Disabled
    }
}

#[cfg(all(test, not(loom)))]
impl SizeClass {
    /// A size class outside of any pool, which accounts for the given number of buffers.
    pub(super) fn for_test(carved: u32, reserve: u32) -> Self {
        let size_class = Self::of_test(OnRelease::Leave, 256, reserve);
        size_class.add_carved(carved);
        size_class
    }

    pub(super) fn of_test(on_release: OnRelease, samples: u32, reserve: u32) -> Self {
        let pool = SharedPtr::from(PoolState::for_test());
        // SAFETY: the state is never freed.
        unsafe { Self::new(pool, on_release, (0, 0), samples, reserve) }
    }

    /// Puts a buffer into the cache, as its release does.
    pub(super) fn cache_accepts(
        &self,
        table: &super::slot_table::SlotTable,
        index: super::slot_table::SlotIndex,
    ) -> bool {
        let (slot, samples) = (table.slot(index), core::ptr::NonNull::dangling());
        // SAFETY: a test uses its size class only as long as its table.
        unsafe { self.cache.put(slot, index, samples, self.samples) }
    }
}
