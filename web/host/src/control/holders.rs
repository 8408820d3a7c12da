//! The numbers of lease holders, which streams and participants share.

use wavepool::modules::data_management::MAX_HOLDERS;
use wavepool::registry::ModuleError;

/// The numbers of lease holders in use, as bits. A lease contains the number of its holder.
#[derive(Debug, Default)]
pub(crate) struct HolderNumbers(u16);

impl HolderNumbers {
    /// The lowest unused number.
    pub(crate) fn take(&mut self) -> Result<u8, ModuleError> {
        let holder = self.0.trailing_ones() as u8;
        if holder >= MAX_HOLDERS {
            let most = format!(
                "{MAX_HOLDERS} taps and pools are open, which is the limit: close one first"
            );
            return Err(most.into());
        }
        self.0 |= 1 << holder;
        Ok(holder)
    }

    pub(crate) fn release(&mut self, holder: u8) {
        self.0 &= !(1 << holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holder_numbers_are_the_lowest_unused_ones_and_limited() {
        let mut holders = HolderNumbers::default();
        for number in 0..MAX_HOLDERS {
            assert_eq!(holders.take().ok(), Some(number));
        }
        let refused = holders.take().unwrap_err().to_string();
        assert!(refused.starts_with(&MAX_HOLDERS.to_string()), "{refused}");
        for number in [3, 1] {
            holders.release(number);
        }
        assert_eq!(
            [holders.take().ok(), holders.take().ok()],
            [Some(1), Some(3)]
        );
    }
}
