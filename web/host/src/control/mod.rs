//! Runs in the control worker: the host, its parts, and what it reports.

mod activity;
mod all_counts;
mod closing;
mod dashboard_events;
mod dispatch_gaps;
#[cfg(test)]
mod ended_threads;
mod exercise;
mod feeds;
mod holders;
pub(crate) mod host;
mod inspection;
mod instance;
mod lock;
mod memory;
mod options;
mod participants;
mod receiver;
mod recording;
mod reports;
mod snapshot;
mod sound_calls;
mod sounds;
mod steps;
mod stream;
mod streams;
mod totals;
mod tracks;
