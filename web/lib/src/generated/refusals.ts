// Generated from Rust by `cargo xtask generate`; a test compares. Do not edit.

/** Numbers of refusals, as the exports return them. */
export const STALE_LEASE = 1;
export const WRONG_PARTICIPANT = 2;
export const ILLEGAL_MOVE = 3;
export const EXHAUSTED = 4;
export const TOO_LARGE = 5;
export const ZERO_LENGTH = 6;
export const LEASES_USED_UP = 7;
export const NO_SUCH_CHANNEL = 8;
export const UNEXPECTED = 9;
export const CLOSED = 10;
export const NO_BUFFERS = 11;

/** `code` and message of a refusal's error, by the refusal's number. `{0}` to `{2}` stand for what the refusal names. */
export const REFUSALS = {
  1: ['stale-lease', 'No buffer is leased under {0}: it was released, or never leased. To use a block for longer, call its `keep()`.'],
  2: ['wrong-participant', 'The lease {0} belongs to participant {1}, not to {2}. Use it on the thread that leased it.'],
  3: ['illegal-move', 'The lease {0} is {1}, which does not allow {2}. `view()` begins a use, `endView()` ends it.'],
  4: ['exhausted', 'No buffer for {0} samples is free: all {2} of {1} samples are in use. Release some, or try again later.'],
  5: ['too-large', '{0} samples were requested; the largest buffer has {1}. Request fewer.'],
  6: ['bad-option', 'A buffer needs at least one sample. Request 1 or more.'],
  7: ['leases-used-up', 'All {0} leases are in use. Release some first.'],
  8: ['no-such-channel', 'There is no channel {0}: the block has {1}, counted from 0.'],
  9: ['host-failed', 'The pool refused for a reason that this library does not know.'],
  10: ['closed', 'The pool was closed, and its buffers with it. Open another one.'],
  11: ['exhausted', 'This pool has no buffer of {1} samples for the {0} requested, and no larger one is free. Release one, or close this pool and open another.'],
} as const;

/** Names of a lease's states, by their numbers. */
export const LEASE_STATES = ['released', 'leased', 'in use'] as const;

/** Names of the operations on a lease, by their numbers. */
export const LEASE_MOVES = ['a view', 'the end of a view', 'a release', 'a share', 'a transfer'] as const;
