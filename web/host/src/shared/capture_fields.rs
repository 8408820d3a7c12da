//! The counters of a capture as plain numbers, for copying between threads and memories.

use wavepool::modules::audio_foundations::CaptureCounters;

/// The number of fields of [`CaptureCounters`].
pub(crate) const CAPTURE_FIELDS: usize = 7;

/// The fields of the counters.
pub(crate) const fn to_fields(counters: CaptureCounters) -> [u64; CAPTURE_FIELDS] {
    let CaptureCounters {
        quanta,
        frames,
        windows,
        skipped_windows,
        interrupted_windows,
        lost_frames,
        bytes_copied,
    } = counters;
    [
        quanta,
        frames,
        windows,
        skipped_windows,
        interrupted_windows,
        lost_frames,
        bytes_copied,
    ]
}

/// The inverse of [`to_fields`].
pub(crate) const fn from_fields(fields: [u64; CAPTURE_FIELDS]) -> CaptureCounters {
    let [
        quanta,
        frames,
        windows,
        skipped_windows,
        interrupted_windows,
        lost_frames,
        bytes_copied,
    ] = fields;
    CaptureCounters {
        quanta,
        frames,
        windows,
        skipped_windows,
        interrupted_windows,
        lost_frames,
        bytes_copied,
    }
}
