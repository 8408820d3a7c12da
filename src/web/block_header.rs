//! What rides in front of a block in transfer mode: the stream's counts, the pool's counts, and event cells.

use core::mem::MaybeUninit;

use crate::modules::audio_foundations::{CAPTURE_FIELDS, CaptureCounters};
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};

/// Bytes of a header; the samples follow it.
pub(crate) const HEADER_BYTES: usize = 4096;
const MAX_CLASSES: usize = 16;
const CLASS_FIELDS: usize = 13;
/// First frame, number of frames, sequence, time, three kinds of objects, allocator calls, recycled buffers; capture counters, pool counts, class count, length of the cells.
const FIXED_FIELDS: usize = 9 + CAPTURE_FIELDS + 6 + 1 + 1;
/// Of these, the sizes of the pool; and the last two.
const SIZE_FIELDS: core::ops::Range<usize> = 9 + CAPTURE_FIELDS..9 + CAPTURE_FIELDS + 5;
const CELLS_FIELD: usize = FIXED_FIELDS - 2;
const CLASSES_FIELD: usize = FIXED_FIELDS - 1;
/// What a count can be at most: whole numbers up to here survive JavaScript, and sums of all that can be open do not
/// overflow.
const MOST_COUNT: u64 = 1 << 53;
/// What a size can be at most: a memory's.
const MOST_BYTES: u64 = u32::MAX as u64;
const FIELDS: usize = FIXED_FIELDS + MAX_CLASSES * CLASS_FIELDS;
const CELL_BYTES: usize = HEADER_BYTES - FIELDS * 8;

/// One header's memory, which JavaScript reads or writes in place.
#[repr(C)]
pub(crate) struct Header {
    fields: [u64; FIELDS],
    /// `MaybeUninit`, because padding inside an event has no value.
    cells: [MaybeUninit<u8>; CELL_BYTES],
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// What a header says; the pool's counts and the events apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts the headers of a stream, from 1.
    pub(crate) sequence: u64,
    /// First frame of the block's window.
    pub(crate) first_frame: u64,
    /// Its frames: fewer than the block has room for in the last one of a stream that delivers what is left.
    pub(crate) frames: u64,
    /// When it was written, by `Date.now`.
    pub(crate) sent_ms: u64,
    /// JavaScript objects that the writer's side has made: views, messages, buffers.
    pub(crate) made: [u64; 3],
    /// Calls of the allocator from the audio thread since its first quantum.
    pub(crate) allocator_calls: u64,
    /// Buffers that came back to the writer's pool.
    pub(crate) recycled: u64,
    pub(crate) capture: CaptureCounters,
}

/// A header was not written by the other side of the same build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the block header is damaged: {field} is {value}, at most {limit} is possible; worklet and worker must load the same build"
)]
pub(crate) struct DamagedHeader {
    field: &'static str,
    value: u64,
    limit: u64,
}

impl Header {
    pub(crate) fn boxed() -> Box<Self> {
        Box::new(Self {
            fields: [0; FIELDS],
            cells: [MaybeUninit::new(0); CELL_BYTES],
        })
    }

    pub(crate) fn address(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// Writes everything; `drain` fills the rest with event cells and says how many bytes it used.
    ///
    /// # Real-time
    /// No allocation; bounded by the header's size.
    pub(crate) fn write(
        &mut self,
        head: &Head,
        pool: &PoolCounts,
        drain: impl FnOnce(&mut [MaybeUninit<u8>]) -> usize,
    ) {
        let cells = drain(&mut self.cells);
        let mut fields = self.fields.iter_mut();
        let mut put = |value: u64| {
            if let Some(field) = fields.next() {
                *field = value;
            }
        };
        for value in [
            head.first_frame,
            head.frames,
            head.sequence,
            head.sent_ms,
            head.made[0],
            head.made[1],
            head.made[2],
            head.allocator_calls,
            head.recycled,
        ] {
            put(value);
        }
        head.capture.to_fields().into_iter().for_each(&mut put);
        for value in [
            pool.overhead_bytes,
            pool.bytes_reserved,
            pool.bytes_limit,
            pool.short_run_samples,
            pool.largest_free_run_samples,
        ] {
            put(value as u64);
        }
        put(pool.buffers_leaked);
        put(cells as u64);
        put(pool.classes.len().min(MAX_CLASSES) as u64);
        for class in pool.classes.iter().take(MAX_CLASSES) {
            class_fields(class).into_iter().for_each(&mut put);
        }
    }

    /// Reads what [`write`](Self::write) wrote; the event cells are returned as they are.
    ///
    /// Another thread wrote it, perhaps not by `write`: every number is checked before the first is used.
    pub(crate) fn read(
        &self,
        pool: &mut PoolCounts,
    ) -> Result<(Head, &[MaybeUninit<u8>]), DamagedHeader> {
        let cells = at_most(
            "length of the event cells",
            self.fields[CELLS_FIELD],
            CELL_BYTES as u64,
        )?;
        let classes = at_most(
            "number of classes",
            self.fields[CLASSES_FIELD],
            MAX_CLASSES as u64,
        )?;
        for &bytes in &self.fields[SIZE_FIELDS] {
            at_most("a size", bytes, MOST_BYTES)?;
        }
        for &count in &self.fields[..FIXED_FIELDS + classes * CLASS_FIELDS] {
            at_most("a count", count, MOST_COUNT)?;
        }
        for class in self.fields[FIXED_FIELDS..]
            .chunks_exact(CLASS_FIELDS)
            .take(classes)
        {
            at_most("a class in samples", class[0], MOST_BYTES)?;
        }
        let mut fields = self.fields.iter();
        let mut get = || fields.next().copied().unwrap_or(0);
        let head = Head {
            first_frame: get(),
            frames: get(),
            sequence: get(),
            sent_ms: get(),
            made: core::array::from_fn(|_| get()),
            allocator_calls: get(),
            recycled: get(),
            capture: CaptureCounters::from_fields(core::array::from_fn(|_| get())),
        };
        pool.overhead_bytes = get() as usize;
        pool.bytes_reserved = get() as usize;
        pool.bytes_limit = get() as usize;
        pool.short_run_samples = get() as usize;
        pool.largest_free_run_samples = get() as usize;
        pool.buffers_leaked = get();
        // Both were read above.
        get();
        get();
        pool.classes.clear();
        pool.classes.extend((0..classes).map(|_| ClassMetrics {
            samples: get() as usize,
            carved: get(),
            idle: get(),
            leased: get(),
            high_water: get(),
            hits: get(),
            borrowed: get(),
            created: get(),
            exhausted: get(),
            requested_samples: get(),
            recent_high_water: get(),
            retired: get() != 0,
            draining: get(),
        }));
        Ok((head, &self.cells[..cells]))
    }
}

fn at_most(field: &'static str, value: u64, limit: u64) -> Result<usize, DamagedHeader> {
    if value > limit {
        return Err(DamagedHeader {
            field,
            value,
            limit,
        });
    }
    Ok(value as usize)
}

fn class_fields(class: &ClassMetrics) -> [u64; CLASS_FIELDS] {
    [
        class.samples as u64,
        class.carved,
        class.idle,
        class.leased,
        class.high_water,
        class.hits,
        class.borrowed,
        class.created,
        class.exhausted,
        class.requested_samples,
        class.recent_high_water,
        u64::from(class.retired),
        class.draining,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn counts() -> PoolCounts {
        let class = |samples, hits| ClassMetrics {
            samples,
            hits,
            carved: 7,
            retired: hits > 1,
            ..Default::default()
        };
        PoolCounts {
            classes: vec![class(256, 1), class(4096, 2)],
            overhead_bytes: 3,
            bytes_reserved: 1 << 31,
            short_run_samples: 5,
            largest_free_run_samples: 6,
            buffers_leaked: 7,
            ..Default::default()
        }
    }

    #[wasm_bindgen_test]
    fn what_was_written_is_read() {
        let mut header = Header::boxed();
        let head = Head {
            sequence: 12,
            first_frame: 9,
            frames: 14,
            sent_ms: 10,
            made: [11, 12, 13],
            allocator_calls: 12,
            recycled: 8,
            capture: CaptureCounters::from_fields([1, 2, 3, 4, 5, 6, MOST_COUNT]),
        };
        header.write(&head, &counts(), |cells| {
            cells[..3].fill(MaybeUninit::new(42));
            3
        });
        let mut pool = PoolCounts::default();
        let (read, cells) = header.read(&mut pool).unwrap();
        assert_eq!((read, cells.len()), (head, 3));
        assert_eq!(pool, counts());
    }

    #[wasm_bindgen_test]
    fn header_numbers_beyond_their_limits_are_refused_and_change_nothing() {
        let head = Head::default();
        for field in 0..FIXED_FIELDS + 2 * CLASS_FIELDS {
            let limit = match field {
                CELLS_FIELD => CELL_BYTES as u64,
                CLASSES_FIELD => MAX_CLASSES as u64,
                _ if SIZE_FIELDS.contains(&field) => MOST_BYTES,
                _ if field >= FIXED_FIELDS && (field - FIXED_FIELDS) % CLASS_FIELDS == 0 => {
                    MOST_BYTES
                }
                _ => MOST_COUNT,
            };
            let mut header = Header::boxed();
            header.write(&head, &counts(), |_| 0);
            let mut pool = PoolCounts::default();
            header.fields[field] = limit;
            assert!(header.read(&mut pool).is_ok(), "{field}");
            for damaged in [limit + 1, u64::MAX] {
                header.fields[field] = damaged;
                let before = pool.clone();
                let error = header.read(&mut pool).err().map(|error| error.value);
                assert_eq!((error, &pool), (Some(damaged), &before), "{field}");
            }
        }
    }

    #[wasm_bindgen_test]
    fn a_damaged_header_is_refused_with_the_numbers() {
        let mut header = Header::boxed();
        header.fields = [u64::MAX; FIELDS];
        let error = header
            .read(&mut PoolCounts::default())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("length of the event cells is 18446744073709551615"),
            "{error}"
        );
    }
}
