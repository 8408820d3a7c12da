//! Recycled vectors: idle ones by size class, and what is counted of those in use.
//!
//! Their memory is not the arena's, because the global allocator frees a `Vec` that is dropped. Vectors of any size are created, and
//! small ones kept: see `docs/decisions/0053-vectors-of-any-size-are-created.md`.

use serde::Serialize;

use super::metrics::pool_metrics::{ClassMetrics, PoolCounts, sample_bytes};
use super::pool_events::{BufferPoolAllocation, BufferPoolRecycling, PoolExhausted};
use crate::event_bus::{Event, Publisher};
use wavepool_core::PoolError;
use wavepool_core::internal::MAX_SAMPLES;

/// A vector with more than this many times the largest class is freed when it is recycled.
const LARGEST_KEPT: usize = 2;
/// The number of the half in events of vectors, which no half owns.
const NO_HALF: u16 = u16::MAX;
/// The number of the buffer in events of vectors, which have none.
const NO_SLOT: u32 = u32::MAX;

/// How much memory recycled vectors need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VectorAccount {
    /// The sample memory of all vectors, idle or in use.
    pub bytes_held: usize,
    /// The part of it that is in use. A vector that was dropped instead of recycled counts as in use.
    pub bytes_leased: usize,
    /// The most that was in use at a time.
    pub bytes_peak: usize,
}

/// The vectors of one class. Those that are larger than the largest class belong to it, too.
struct VectorList {
    samples: usize,
    idle: Vec<Vec<f32>>,
    hits: u64,
    created: u64,
    exhausted: u64,
    /// Vectors in use, as far as they can be counted: one that is dropped is never seen again.
    in_use: u64,
    /// The most in use at a time since the last trim.
    high_water: u64,
}

/// The idle vectors of a pool, and their counts.
pub(super) struct RecycledVectors {
    lists: Vec<VectorList>,
    idle_samples: usize,
    samples_in_use: usize,
    peak_samples: usize,
    /// Vectors in use that are too large to be kept.
    unkept: u64,
    recycled: u64,
}

impl RecycledVectors {
    /// Lists for these classes, of which there is at least one.
    pub(super) fn of(classes: impl Iterator<Item = usize>) -> Self {
        let list = |samples| VectorList {
            samples,
            idle: Vec::new(),
            hits: 0,
            created: 0,
            exhausted: 0,
            in_use: 0,
            high_water: 0,
        };
        Self {
            lists: classes.map(list).collect(),
            idle_samples: 0,
            samples_in_use: 0,
            peak_samples: 0,
            unkept: 0,
            recycled: 0,
        }
    }

    /// The samples of the largest class, and of the largest vector that is kept.
    fn largest(&self) -> (usize, usize) {
        let largest = self.lists.last().map_or(0, |list| list.samples);
        (largest, LARGEST_KEPT * largest)
    }

    /// A vector of `size` zeros: an idle one, or a new one.
    pub(super) fn get(
        &mut self,
        size: usize,
        publisher: Option<&Publisher>,
    ) -> Result<Vec<f32>, PoolError> {
        if size == 0 {
            return Err(PoolError::ZeroLength);
        }
        if size > MAX_SAMPLES {
            return Err(PoolError::TooLarge {
                requested: size,
                largest: MAX_SAMPLES,
            });
        }
        let (_, most) = self.largest();
        let above = self.lists.partition_point(|list| list.samples < size);
        let at = above.min(self.lists.len() - 1);
        let list = &mut self.lists[at];
        let wanted = size.max(list.samples);
        // Only the list of the largest class has vectors of which some are too small.
        let idle = list.idle.iter().rposition(|idle| idle.capacity() >= wanted);
        let mut vector = match idle {
            Some(index) => {
                let vector = list.idle.swap_remove(index);
                self.idle_samples -= vector.capacity();
                list.hits += 1;
                vector
            }
            None => match new_vector(wanted) {
                Ok(vector) => {
                    list.created += 1;
                    vector
                }
                Err(error) => {
                    list.exhausted += 1;
                    let refused = PoolExhausted {
                        class_samples: wanted as u32,
                        requested: size as u32,
                        carved: u32::try_from(list.in_use).unwrap_or(u32::MAX),
                        half: NO_HALF,
                        first_frame: None,
                    };
                    publish(publisher, refused);
                    return Err(error);
                }
            },
        };
        vector.clear();
        vector.resize(size, 0.0);
        list.in_use += 1;
        list.high_water = list.high_water.max(list.in_use);
        self.unkept += u64::from(vector.capacity() > most);
        self.samples_in_use += vector.capacity();
        self.peak_samples = self.peak_samples.max(self.samples_in_use);
        let allocation = BufferPoolAllocation {
            class_samples: wanted as u32,
            requested: size as u32,
            slot: NO_SLOT,
            count: 1,
            half: NO_HALF,
            first_frame: None,
        };
        publish(publisher, allocation);
        Ok(vector)
    }

    /// Keeps a vector for the largest class that its capacity reaches, if it fits into `room` samples.
    pub(super) fn recycle(
        &mut self,
        vector: Vec<f32>,
        room: usize,
        publisher: Option<&Publisher>,
    ) -> Result<(), PoolError> {
        let capacity = vector.capacity();
        let (largest, most) = self.largest();
        if capacity > most && self.unkept == 0 {
            return Err(PoolError::VectorTooLarge { capacity, most });
        }
        let reached = self.lists.partition_point(|list| list.samples <= capacity);
        let Some(at) = reached.checked_sub(1) else {
            let smallest = self.lists.first().map_or(0, |list| list.samples);
            return Err(PoolError::VectorTooSmall { capacity, smallest });
        };
        let list = &mut self.lists[at];
        list.in_use = list.in_use.saturating_sub(1);
        self.samples_in_use = self.samples_in_use.saturating_sub(capacity);
        self.recycled += 1;
        let class_samples = if capacity > largest {
            capacity
        } else {
            list.samples
        };
        let recycling = BufferPoolRecycling {
            class_samples: u32::try_from(class_samples).unwrap_or(u32::MAX),
            count: 1,
            half: NO_HALF,
            first_frame: None,
        };
        publish(publisher, recycling);
        if capacity > most {
            self.unkept -= 1;
            return Ok(());
        }
        if capacity > room {
            return Err(PoolError::NoRoomForVector {
                capacity,
                available: room,
            });
        }
        list.idle.push(vector);
        self.idle_samples += capacity;
        Ok(())
    }

    /// Frees the idle vectors that were not needed since the last call.
    pub(super) fn trim(&mut self) {
        for list in &mut self.lists {
            let needed = list.high_water.saturating_sub(list.in_use) as usize;
            list.idle.truncate(needed);
            list.high_water = list.in_use;
        }
        self.idle_samples = self.idle().map(Vec::capacity).sum();
    }

    /// Frees all idle vectors.
    pub(super) fn free_idle(&mut self) {
        self.lists.iter_mut().for_each(|list| list.idle.clear());
        self.idle_samples = 0;
    }

    fn idle(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.lists.iter().flat_map(|list| &list.idle)
    }

    /// The samples of idle vectors.
    pub(super) const fn idle_samples(&self) -> usize {
        self.idle_samples
    }

    /// The number of vectors that came back so far.
    pub(super) const fn recycled(&self) -> u64 {
        self.recycled
    }

    pub(super) fn account(&self) -> VectorAccount {
        let bytes = |samples| sample_bytes(samples, 1);
        VectorAccount {
            bytes_held: bytes(self.idle_samples.saturating_add(self.samples_in_use)),
            bytes_leased: bytes(self.samples_in_use),
            bytes_peak: bytes(self.peak_samples),
        }
    }

    /// The memory of the lists themselves.
    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.lists.iter().map(|list| list.idle.capacity());
        size_of_val(&*self.lists) + lists.sum::<usize>() * size_of::<Vec<f32>>()
    }

    /// Adds the counts of the vectors to those of their classes.
    pub(super) fn count_into(&self, counts: &mut PoolCounts) {
        for list in &self.lists {
            let class = class_of(&mut counts.classes, list.samples);
            class.hits += list.hits;
            class.created += list.created;
            class.exhausted += list.exhausted;
        }
        counts.overhead_bytes += self.heap_bytes();
        counts.bytes_shelved = sample_bytes(self.idle_samples, 1);
    }
}

/// The counts of the class with so many samples. A class that the pool no longer has is added as a retired one.
pub(super) fn class_of(classes: &mut Vec<ClassMetrics>, samples: usize) -> &mut ClassMetrics {
    let at = classes.partition_point(|class| class.samples < samples);
    if classes.get(at).is_none_or(|class| class.samples != samples) {
        let class = ClassMetrics {
            samples,
            retired: true,
            ..ClassMetrics::default()
        };
        classes.insert(at, class);
    }
    &mut classes[at]
}

fn new_vector(samples: usize) -> Result<Vec<f32>, PoolError> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(samples) {
        Ok(()) => Ok(vector),
        Err(_) => Err(PoolError::OutOfMemory {
            bytes: sample_bytes(samples, 1),
        }),
    }
}

fn publish<E: Event>(publisher: Option<&Publisher>, event: E) {
    if let Some(publisher) = publisher {
        publisher.publish(event);
    }
}
