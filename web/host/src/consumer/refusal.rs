//! Errors as numbers: the raw exports pass no strings, and the page makes typed errors of the numbers.

use super::refusal_codes::RefusalCode;
use wavepool::modules::data_management::{LeaseMove, LeaseState, PoolError};

/// The last error, in memory that JavaScript reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Refusal {
    /// The number of a [`RefusalCode`]; 0 before the first error.
    code: u32,
    numbers: [u32; 3],
}

impl Refusal {
    /// The number names no open object.
    pub(crate) const CLOSED: &'static Self = &Self::new(RefusalCode::Closed, [0; 3]);

    const fn new(code: RefusalCode, numbers: [u32; 3]) -> Self {
        Self {
            code: code as u32,
            numbers,
        }
    }

    /// The buffer has no channel with this number.
    pub(crate) const fn no_channel(channel: u32, channels: u32) -> Self {
        Self::new(RefusalCode::NoSuchChannel, [channel, channels, 0])
    }

    pub(crate) const fn code(&self) -> u32 {
        self.code
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::StaleLease { lease } => Self::new(RefusalCode::StaleLease, [lease, 0, 0]),
            PoolError::WrongHolder {
                lease,
                holder,
                asked,
            } => Self::new(
                RefusalCode::WrongParticipant,
                [lease, u32::from(holder), u32::from(asked)],
            ),
            PoolError::IllegalMove {
                lease,
                state,
                asked,
            } => Self::new(
                RefusalCode::IllegalMove,
                [lease, number_of_state(state), number_of_move(asked)],
            ),
            PoolError::Exhausted {
                requested,
                class_samples,
                carved: 0,
            } => Self::new(RefusalCode::NoBuffers, [requested, class_samples, 0]),
            PoolError::Exhausted {
                requested,
                class_samples,
                carved,
            } => Self::new(RefusalCode::Exhausted, [requested, class_samples, carved]),
            PoolError::TooLarge { requested, largest } => Self::new(
                RefusalCode::TooLarge,
                [saturated(requested), saturated(largest), 0],
            ),
            PoolError::ZeroLength => Self::new(RefusalCode::ZeroLength, [0; 3]),
            PoolError::TableFull { capacity, .. } => {
                Self::new(RefusalCode::LeasesUsedUp, [saturated(capacity), 0, 0])
            }
            _ => Self::new(RefusalCode::Unexpected, [0; 3]),
        }
    }
}

/// The index of the state's name in `LEASE_STATES` of `refusal_codes.rs`.
const fn number_of_state(state: LeaseState) -> u32 {
    match state {
        LeaseState::Recycled => 0,
        LeaseState::Allocated => 1,
        LeaseState::Viewed => 2,
    }
}

/// The index of the operation's name in `LEASE_MOVES` of `refusal_codes.rs`.
const fn number_of_move(asked: LeaseMove) -> u32 {
    match asked {
        LeaseMove::View => 0,
        LeaseMove::EndView => 1,
        LeaseMove::Release => 2,
        LeaseMove::Share => 3,
        LeaseMove::Cross => 4,
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
