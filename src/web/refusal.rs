//! Errors as numbers: the raw exports pass no strings, and the page makes typed errors of the numbers.

use crate::modules::data_management::PoolError;

/// The last error, in memory that JavaScript reads. `refusal` in `refusal.ts` has the same codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Refusal {
    /// 0 before the first error.
    code: u32,
    numbers: [u32; 3],
}

impl Refusal {
    /// The number names no open object.
    pub(super) const CLOSED: &'static Self = &Self {
        code: 10,
        numbers: [0; 3],
    };

    /// The buffer has no channel with this number.
    pub(super) const fn no_channel(lease: u32, channel: u32, channels: u32) -> Self {
        Self {
            code: 8,
            numbers: [lease, channel, channels],
        }
    }

    pub(super) const fn code(&self) -> u32 {
        self.code
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        let (code, numbers) = match error {
            PoolError::StaleLease { lease } => (1, [lease, 0, 0]),
            PoolError::WrongHolder {
                lease,
                holder,
                asked,
            } => (2, [lease, u32::from(holder), u32::from(asked)]),
            PoolError::IllegalMove {
                lease,
                state,
                asked,
            } => (3, [lease, state as u32, asked as u32]),
            PoolError::Exhausted {
                requested,
                class_samples,
                carved,
            } => (4, [requested, class_samples, carved]),
            PoolError::TooLarge { requested, largest } => {
                (5, [saturated(requested), saturated(largest), 0])
            }
            PoolError::ZeroLength => (6, [0; 3]),
            PoolError::TableFull { capacity, .. } => (7, [saturated(capacity), 0, 0]),
            // Errors of the control half, which no export returns.
            _ => (9, [0; 3]),
        };
        Self { code, numbers }
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
