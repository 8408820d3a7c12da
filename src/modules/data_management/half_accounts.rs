//! The accounts of the pool's halves with a stated need: whose they are, and how much of the pool each holds.

use serde::Serialize;

use super::metrics::pool_metrics::sample_bytes;
use wavepool_core::internal::OwnClass;

/// The account of one half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HalfAccount {
    /// The user of the half, for example `stream 3 capture`.
    pub name: String,
    /// The number of the half.
    #[serde(skip)]
    pub half: u16,
    /// The sample memory that the user stated as its need when it was opened.
    pub bytes_stated: usize,
    /// The sample memory of the half's buffers, idle or in use, at the last control step.
    pub bytes_held: usize,
    /// The part of it that was in use.
    pub bytes_leased: usize,
    /// The most that was in use at a time. An upper bound if the half uses several classes: the sum of their peaks.
    pub bytes_peak: usize,
}

/// The accounts of the attached halves, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct HalfAccounts {
    accounts: Vec<HalfAccount>,
}

impl HalfAccounts {
    /// Opens the account of a half. An earlier account of that half belonged to an owner that has gone.
    pub(super) fn open(&mut self, name: String, half: u16, need: &[(usize, u32)]) {
        let bytes = |&(samples, buffers): &(usize, u32)| sample_bytes(samples, buffers.into());
        let bytes_stated = need.iter().map(bytes).fold(0, usize::saturating_add);
        self.accounts.retain(|account| account.half != half);
        self.accounts.push(HalfAccount {
            name,
            half,
            bytes_stated,
            bytes_held: bytes_stated,
            bytes_leased: 0,
            bytes_peak: 0,
        });
    }

    /// Updates the accounts by the counts of a control step, and closes those of halves that are no longer attached.
    pub(super) fn observe(&mut self, classes: &[OwnClass]) {
        self.accounts.retain_mut(|account| {
            let of_half = || classes.iter().filter(|own| own.half == account.half);
            let sum = |buffers: fn(&OwnClass) -> u64| {
                let bytes = of_half().map(|own| sample_bytes(own.class.samples, buffers(own)));
                bytes.fold(0, usize::saturating_add)
            };
            account.bytes_held = sum(|own| own.class.carved);
            account.bytes_leased = sum(|own| own.class.leased);
            let peak = sum(|own| own.class.recent_high_water.max(own.class.leased));
            account.bytes_peak = account.bytes_peak.max(peak);
            of_half().next().is_some()
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HalfAccount> {
        self.accounts.iter()
    }
}

#[cfg(test)]
#[path = "half_accounts_tests.rs"]
mod tests;
