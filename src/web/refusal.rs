//! Why JavaScript was refused, in numbers: the raw exports carry no strings, and the page makes a typed error of these.

use crate::modules::data_management::PoolError;

/// The last refusal, where JavaScript reads it. The codes are those of `refusal` in `refusal.ts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Refusal {
    /// 0 if nothing was refused yet.
    code: u32,
    numbers: [u32; 3],
}

impl Refusal {
    /// What was asked for by its number is not open, or not any more.
    pub(super) const CLOSED: &'static Self = &Self {
        code: 10,
        numbers: [0; 3],
    };

    /// A channel the buffer does not have.
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
            // The control half's errors; nothing that JavaScript calls here ends in one.
            _ => (9, [0; 3]),
        };
        Self { code, numbers }
    }
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
