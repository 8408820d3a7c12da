//! The atomic orderings of the pool core: each constant names the operation that it pairs with, and what breaks without it.
//!
//! Every other access of the pool is relaxed: it reads or writes a word of the accessing thread's own, or a figure that
//! orders nothing.
//!
//! A mutant is a `cfg` on one of these constants or on one branch of the code. `cargo xtask verify mutants` compiles the
//! loom models with each of them and fails if a model still passes. No other build sets the `cfg`.

use crate::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

/// A push to a shared list. Pairs with [`LIST_TAKE`] and [`LIST_BEGIN_TAKE`]: the taker sees the slot's link, the slot's
/// words and the samples as the pusher left them. Weaker, the next owner of a buffer reads or overwrites samples while the
/// last one's writes are still on their way. Later pushes continue the release sequence.
pub(super) const LIST_PUSH: Ordering = if cfg!(wavepool_mutant = "list_push_relaxed") {
    Relaxed
} else {
    Release
};

/// Taking a shared list whole, in one step, and reading it where it lies. Pairs with [`LIST_PUSH`]. Nothing is released:
/// what a pusher reads of an empty head says nothing about other words.
pub(super) const LIST_TAKE: Ordering = Acquire;

/// The first step of the owner's take, which keeps pushers out. Pairs with [`LIST_PUSH`]. Nothing is released: a pusher
/// that reads the mark uses the other list.
pub(super) const LIST_BEGIN_TAKE: Ordering = if cfg!(wavepool_mutant = "begin_take_relaxed") {
    Relaxed
} else {
    Acquire
};

/// The owner of a half gives it up. Pairs with [`HALF_IS_ATTACHED`]: the next owner sees the lists as this one left them.
/// Weaker, the next owner may pop a buffer that was popped before.
pub(super) const HALF_DETACH: Ordering = if cfg!(wavepool_mutant = "detach_relaxed") {
    Relaxed
} else {
    Release
};

/// A new owner attaches, or the control half looks whether there is one. Pairs with [`HALF_DETACH`].
pub(super) const HALF_IS_ATTACHED: Ordering = Acquire;

/// The control half offers a class table. Release pairs with [`TABLE_PICK_UP`]: the owner sees the table as it was built.
/// Acquire pairs with an earlier publication: a table that was never picked up is freed by the control half.
pub(super) const TABLE_PUBLISH: Ordering = if cfg!(wavepool_mutant = "table_publish_relaxed") {
    Relaxed
} else {
    AcqRel
};

/// The owner takes the offered table. Pairs with [`TABLE_PUBLISH`].
pub(super) const TABLE_PICK_UP: Ordering = Acquire;

/// The owner returns the table that it used before. Pairs with [`TABLE_COLLECT`]: its last read of the table, and
/// its last use of a size class that only this table named, is over. Weaker, the control half frees them under a read.
pub(super) const TABLE_RETIRE: Ordering = if cfg!(wavepool_mutant = "table_retire_relaxed") {
    Relaxed
} else {
    Release
};

/// The control half takes a returned table to free it. Pairs with [`TABLE_RETIRE`].
pub(super) const TABLE_COLLECT: Ordering = Acquire;

/// The control half raises a half's request epoch after it wrote a request. Pairs with [`REQUEST_EPOCH_READ`]: an owner
/// that reads the new epoch reads the request. Weaker, the owner acknowledges a request that it has not seen, and nobody
/// serves it.
pub(super) const REQUEST_EPOCH_RAISE: Ordering = if cfg!(wavepool_mutant = "request_epoch_relaxed")
{
    Relaxed
} else {
    Release
};

/// The owner reads its request epoch before it serves its size classes. Pairs with [`REQUEST_EPOCH_RAISE`].
pub(super) const REQUEST_EPOCH_READ: Ordering = Acquire;

/// Counting down the handles that outlive the last pool reference. Release: what this thread did with the core happens before it
/// is freed. Acquire: the thread that frees it sees what all others did. Both sides are the same operation. Weaker, the
/// core is freed while another thread uses it.
pub(super) const OUTSTANDING_COUNT_DOWN: Ordering = if cfg!(wavepool_mutant = "outstanding_relaxed")
{
    Relaxed
} else {
    AcqRel
};

/// Counting down the pool references. Release: what a half did with its lists and counts happens before the teardown sums them.
/// Acquire: the teardown sees them. Both sides are the same operation. Weaker, the sum is wrong, and the core is freed
/// early or never.
pub(super) const POOL_REFS_COUNT_DOWN: Ordering = if cfg!(wavepool_mutant = "pool_refs_relaxed") {
    Relaxed
} else {
    AcqRel
};

/// Counting down the references to a frozen buffer. Pairs with [`LAST_REFERENCE_FENCE`]: this thread's reads happen before
/// the writes of whoever acquires the buffer next.
pub(super) const REFERENCE_COUNT_DOWN: Ordering = Release;

/// The fence of the thread that drops the last reference. Pairs with [`REFERENCE_COUNT_DOWN`] of all other threads.
pub(super) const LAST_REFERENCE_FENCE: Ordering = Acquire;

/// The fence between the odd sequence number and the words of a record. Pairs with [`RECORD_READ_FENCE`]: a reader that
/// saw one of the new words also sees the odd number, and drops what it read.
pub(super) const RECORD_WRITE_FENCE: Ordering = Release;

/// The even sequence number after a record was written. Pairs with [`RECORD_BEGIN_READ`]: a reader that starts from this
/// number reads the words that belong to it.
pub(super) const RECORD_END_WRITE: Ordering = Release;

/// A reader's first look at the sequence number. Pairs with [`RECORD_END_WRITE`].
pub(super) const RECORD_BEGIN_READ: Ordering = Acquire;

/// The fence between the words of a record and the reader's second look at the sequence number. Pairs with
/// [`RECORD_WRITE_FENCE`].
pub(super) const RECORD_READ_FENCE: Ordering = Acquire;
