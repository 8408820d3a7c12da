//! The refusals of the raw exports by number, with their messages for JavaScript.
//!
//! `cargo xtask generate` compiles this file too, and writes `web/lib/src/generated/refusals.ts` from it: it imports nothing.

/// A kind of refusal. Exports return its number; JavaScript makes a typed error of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum RefusalCode {
    StaleLease = 1,
    WrongParticipant = 2,
    IllegalMove = 3,
    Exhausted = 4,
    TooLarge = 5,
    ZeroLength = 6,
    LeasesUsedUp = 7,
    NoSuchChannel = 8,
    /// An error of the control half, which no export returns.
    Unexpected = 9,
    Closed = 10,
    NoBuffers = 11,
}

#[cfg(not(target_arch = "wasm32"))]
impl RefusalCode {
    pub(crate) const ALL: [Self; 11] = [
        Self::StaleLease,
        Self::WrongParticipant,
        Self::IllegalMove,
        Self::Exhausted,
        Self::TooLarge,
        Self::ZeroLength,
        Self::LeasesUsedUp,
        Self::NoSuchChannel,
        Self::Unexpected,
        Self::Closed,
        Self::NoBuffers,
    ];

    /// `code` of the error in JavaScript.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::StaleLease => "stale-lease",
            Self::WrongParticipant => "wrong-participant",
            Self::IllegalMove => "illegal-move",
            Self::Exhausted | Self::NoBuffers => "exhausted",
            Self::TooLarge => "too-large",
            Self::ZeroLength => "bad-option",
            Self::LeasesUsedUp => "leases-used-up",
            Self::NoSuchChannel => "no-such-channel",
            Self::Unexpected => "host-failed",
            Self::Closed => "closed",
        }
    }

    /// The message in JavaScript, in which `{0}` to `{2}` stand for the numbers of the refusal. Those of an illegal move stand
    /// for the names of the state and of the operation.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::StaleLease => {
                "No buffer is leased under {0}: it was released, or never leased. To use a block for longer, call its `keep()`."
            }
            Self::WrongParticipant => {
                "The lease {0} belongs to participant {1}, not to {2}. Use it on the thread that leased it."
            }
            Self::IllegalMove => {
                "The lease {0} is {1}, which does not allow {2}. `view()` begins a use, `endView()` ends it."
            }
            Self::Exhausted => {
                "No buffer for {0} samples is free: all {2} of {1} samples are in use. Release some, or try again later."
            }
            Self::NoBuffers => {
                "This pool has no buffer of {1} samples for the {0} requested, and no larger one is free. Release one, or close this pool and open another."
            }
            Self::TooLarge => {
                "{0} samples were requested; the largest buffer has {1}. Request fewer."
            }
            Self::ZeroLength => "A buffer needs at least one sample. Request 1 or more.",
            Self::LeasesUsedUp => "All {0} leases are in use. Release some first.",
            Self::NoSuchChannel => "There is no channel {0}: the block has {1}, counted from 0.",
            Self::Unexpected => "The pool refused for a reason that this library does not know.",
            Self::Closed => "The pool was closed, and its buffers with it. Open another one.",
        }
    }
}

/// Names of the states of a lease, by their numbers in a refusal.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const LEASE_STATES: [&str; 3] = ["released", "leased", "in use"];

/// Names of the operations on a lease, by their numbers in a refusal.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const LEASE_MOVES: [&str; 5] = [
    "a view",
    "the end of a view",
    "a release",
    "a share",
    "a transfer",
];
