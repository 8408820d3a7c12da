//! The header of a block in transfer mode: the stream's counts, the pool's counts, and event cells.

use core::mem::MaybeUninit;

use super::capture_fields::{CAPTURE_FIELDS, from_fields, to_fields};
use wavepool::modules::audio_foundations::CaptureCounters;
use wavepool::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};

/// Bytes of a header; the samples follow it.
pub(crate) const HEADER_BYTES: usize = 4096;
const MAX_CLASSES: usize = 16;
const CLASS_FIELDS: usize = 13;
/// First frame, number of frames, sequence, time, three kinds of objects, allocator calls, recycled buffers, what a participant passed.
const HEAD_FIELDS: usize = 12;
/// The head; capture counters, pool counts, number of classes, length of the cells.
const FIXED_FIELDS: usize = HEAD_FIELDS + CAPTURE_FIELDS + 6 + 1 + 1;
/// The positions of the pool's sizes, and of the last two fields.
const SIZE_FIELDS: core::ops::Range<usize> =
    HEAD_FIELDS + CAPTURE_FIELDS..HEAD_FIELDS + CAPTURE_FIELDS + 5;
const CELLS_FIELD: usize = FIXED_FIELDS - 2;
const CLASSES_FIELD: usize = FIXED_FIELDS - 1;
/// The largest count: JavaScript represents whole numbers up to it exactly, and sums over all open objects do not overflow.
const MAX_COUNT: u64 = 1 << 53;
/// The largest size: that of a memory.
const MAX_BYTES: u64 = u32::MAX as u64;
pub(crate) const FIELDS: usize = FIXED_FIELDS + MAX_CLASSES * CLASS_FIELDS;
const CELL_BYTES: usize = HEADER_BYTES - FIELDS * 8;

/// The memory of one header, which JavaScript reads or writes in place.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) fields: [u64; FIELDS],
    /// `MaybeUninit`, because padding inside an event has no value.
    cells: [MaybeUninit<u8>; CELL_BYTES],
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// The fields of a header, without the pool's counts and the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeaderFields {
    /// The number of the header within its stream, from 1.
    pub(crate) sequence: u64,
    /// First frame of the block's window.
    pub(crate) first_frame: u64,
    /// The number of its frames, which may be smaller in the last window of a stream.
    pub(crate) frames: u64,
    /// The time of writing, by `Date.now`.
    pub(crate) sent_ms: u64,
    /// JavaScript objects that the writer's side has made: views, messages, buffers.
    pub(crate) objects: [u64; 3],
    /// Calls of the allocator from the audio thread since its first quantum.
    pub(crate) allocator_calls: u64,
    /// Buffers that were released to the writer's pool.
    pub(crate) recycled: u64,
    /// What a participant passed to JavaScript: views made, buffers seen, bytes of their samples.
    pub(crate) crossed: [u64; 3],
    pub(crate) capture: CaptureCounters,
}

/// The header was not written by the other side of the same build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the block header is damaged: {field} must be at most {limit} (got {value}); worklet and worker must load the same build"
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

    /// Writes the header; `drain` fills the rest with event cells and returns the number of bytes used.
    ///
    /// # Real-time
    /// No allocation; bounded by the header's size.
    pub(crate) fn write(
        &mut self,
        head: &HeaderFields,
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
            head.objects[0],
            head.objects[1],
            head.objects[2],
            head.allocator_calls,
            head.recycled,
            head.crossed[0],
            head.crossed[1],
            head.crossed[2],
        ] {
            put(value);
        }
        to_fields(head.capture).into_iter().for_each(&mut put);
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

    /// Reads a header that [`write`](Self::write) wrote; returns its fields and the bytes of the event cells.
    ///
    /// Another thread wrote the header, possibly without `write`: every number is checked before the first one is used.
    pub(crate) fn read(
        &self,
        pool: &mut PoolCounts,
    ) -> Result<(HeaderFields, &[MaybeUninit<u8>]), DamagedHeader> {
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
            at_most("a size", bytes, MAX_BYTES)?;
        }
        for &count in &self.fields[..FIXED_FIELDS + classes * CLASS_FIELDS] {
            at_most("a count", count, MAX_COUNT)?;
        }
        for class in self.fields[FIXED_FIELDS..]
            .chunks_exact(CLASS_FIELDS)
            .take(classes)
        {
            at_most("a class in samples", class[0], MAX_BYTES)?;
        }
        let mut fields = self.fields.iter();
        let mut get = || fields.next().copied().unwrap_or(0);
        let head = HeaderFields {
            first_frame: get(),
            frames: get(),
            sequence: get(),
            sent_ms: get(),
            objects: core::array::from_fn(|_| get()),
            allocator_calls: get(),
            recycled: get(),
            crossed: core::array::from_fn(|_| get()),
            capture: from_fields(core::array::from_fn(|_| get())),
        };
        pool.overhead_bytes = get() as usize;
        pool.bytes_reserved = get() as usize;
        pool.bytes_limit = get() as usize;
        pool.short_run_samples = get() as usize;
        pool.largest_free_run_samples = get() as usize;
        pool.buffers_leaked = get();
        // Skips the two fields that were read above.
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

    #[wasm_bindgen_test(unsupported = test)]
    fn block_header_round_trips() {
        let mut header = Header::boxed();
        let head = HeaderFields {
            sequence: 12,
            first_frame: 9,
            frames: 14,
            sent_ms: 10,
            objects: [11, 12, 13],
            allocator_calls: 12,
            recycled: 8,
            crossed: [15, 16, 17],
            capture: from_fields([1, 2, 3, 4, 5, 6, MAX_COUNT]),
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

    #[wasm_bindgen_test(unsupported = test)]
    fn block_header_numbers_above_their_limits_are_refused_and_change_nothing() {
        let head = HeaderFields::default();
        for field in 0..FIXED_FIELDS + 2 * CLASS_FIELDS {
            let limit = match field {
                CELLS_FIELD => CELL_BYTES as u64,
                CLASSES_FIELD => MAX_CLASSES as u64,
                _ if SIZE_FIELDS.contains(&field) => MAX_BYTES,
                _ if field >= FIXED_FIELDS
                    && (field - FIXED_FIELDS).is_multiple_of(CLASS_FIELDS) =>
                {
                    MAX_BYTES
                }
                _ => MAX_COUNT,
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

    #[wasm_bindgen_test(unsupported = test)]
    fn block_header_error_contains_the_numbers() {
        let mut header = Header::boxed();
        header.fields = [u64::MAX; FIELDS];
        let error = header
            .read(&mut PoolCounts::default())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("length of the event cells must be at most "),
            "{error}"
        );
    }
}
