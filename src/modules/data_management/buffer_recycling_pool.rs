//! The trait of the story: vectors, buffer numbers for JavaScript, metrics, sizing and defragmentation.
//!
//! For the control side and for code that owns `Vec<f32>`. The audio thread uses [`RealtimePool`] instead, since
//! `get_or_create` may allocate.

use super::metrics::pool_metrics::{ClassMetrics, PoolCounts, PoolFigures, PoolMetrics};
use super::pool_maintenance::PoolMaintenance;
use super::sizing::sizing_rules::SizingPolicy;
use super::wasm_js_bridge::{JSBufferRef, WasmJsBridge};
use wavepool_core::DefragmentationResult;
use wavepool_core::PoolBuilder;
use wavepool_core::PoolControl;
use wavepool_core::PoolError;
use wavepool_core::RealtimePool;
use wavepool_core::internal::Unshared;

/// References of JavaScript at a time, per buffer: one, and one shared.
const LEASES_PER_BUFFER: usize = 2;
/// The most references of JavaScript at a time.
const MOST_LEASES: usize = 1024;
/// The most buffers with a cached view in JavaScript.
const MOST_VIEWS: usize = 1 << 12;
/// A vector with more than this many times the largest class is freed instead of kept.
const LARGEST_KEPT: usize = 2;
/// The number of quanta in which a defragmentation waits for the half to return buffers.
const SHEDDING_ROUNDS: usize = 1024;

/// A pool of sample buffers that recycles vectors.
pub trait BufferRecyclingPool: Send + Sync {
    /// Returns a vector of `size` zeros, recycled or new: a hit and a miss look the same.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) above the largest class.
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError>;

    /// Recycles a vector of any origin: it serves the largest class that its capacity reaches.
    ///
    /// # Errors
    /// [`VectorTooSmall`](PoolError::VectorTooSmall) for every class, [`VectorTooLarge`](PoolError::VectorTooLarge) above
    /// twice the largest, [`NoRoomForVector`](PoolError::NoRoomForVector) above the memory limit; the vector was freed then.
    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError>;

    /// Acquires a zeroed buffer that JavaScript uses by its number.
    ///
    /// # Errors
    /// As for `get_or_create`; [`Exhausted`](PoolError::Exhausted) if the limit allows no further buffer;
    /// [`TableFull`](PoolError::TableFull) with too many references.
    fn get_js_buffer_ref(&mut self, size: usize) -> Result<JSBufferRef, PoolError>;

    /// Releases it.
    ///
    /// # Errors
    /// [`StaleLease`](PoolError::StaleLease) for a number that is not live, [`WrongHolder`](PoolError::WrongHolder).
    fn recycle_js_buffer_ref(&mut self, buffer_ref: JSBufferRef) -> Result<(), PoolError>;

    /// A snapshot of all figures.
    fn get_efficiency_metrics(&self) -> PoolMetrics;

    /// Adapts the sizes of the pool to the demand since the last call.
    fn optimize_pool_sizes(&mut self);

    /// Returns idle memory to the arena, where it coalesces.
    fn defragment(&mut self) -> DefragmentationResult;
}

/// Recycled vectors of one class. Their memory is not the arena's, because the global allocator frees a `Vec` that is dropped.
struct VectorList {
    samples: usize,
    vectors: Vec<Vec<f32>>,
    hits: u64,
    created: u64,
    /// Buffers carved for a request of JavaScript because none was idle.
    grown: u64,
    /// Vectors in use, as far as this pool can count: one that is dropped is never seen again.
    out: u64,
    high_water: u64,
}

/// The implementation of the story's trait: a control half, a real-time half of its own, a bridge, and lists of vectors.
///
/// # Examples
/// ```
/// use wavepool::modules::data_management::{BufferPool, BufferRecyclingPool, BufferRecyclingPoolImpl};
///
/// let mut pool = BufferRecyclingPoolImpl::new(BufferPool::builder().class(512, 4).limit_samples(1 << 16))?;
/// let block = pool.get_or_create(480)?;
/// assert_eq!(block, [0.0; 480]);
/// pool.recycle(block)?;
/// let again = pool.get_or_create(300)?;
/// assert_eq!(again, [0.0; 300]);
/// assert_eq!(pool.get_efficiency_metrics().pool_hits, 1);
/// # Ok::<(), wavepool::modules::data_management::PoolError>(())
/// ```
pub struct BufferRecyclingPoolImpl {
    control: PoolControl,
    half: Unshared<RealtimePool>,
    bridge: WasmJsBridge,
    lists: Vec<VectorList>,
    maintenance: PoolMaintenance,
    window_ms: f64,
    now_ms: f64,
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<BufferRecyclingPoolImpl>();
};

impl BufferRecyclingPoolImpl {
    /// Builds the pool. Recycled vectors and arena share the builder's limit; where the builder names none, it is twice
    /// the mix.
    ///
    /// # Errors
    /// Those of [`PoolBuilder::build`].
    pub fn new(builder: PoolBuilder) -> Result<Self, PoolError> {
        let (control, half) = builder.or_limit_of_shares(2).build()?;
        let lists = control
            .classes()
            .map(|samples| VectorList {
                samples,
                vectors: Vec::new(),
                hits: 0,
                created: 0,
                grown: 0,
                out: 0,
                high_water: 0,
            })
            .collect();
        Ok(Self {
            bridge: bridge_for(&control),
            control,
            half: Unshared::new(half),
            lists,
            window_ms: SizingPolicy::default().window_ms,
            maintenance: PoolMaintenance::default(),
            now_ms: 0.0,
        })
    }

    /// The bridge, for views and shares.
    pub fn bridge(&mut self) -> &mut WasmJsBridge {
        &mut self.bridge
    }

    /// The control half.
    #[must_use]
    pub const fn control(&self) -> &PoolControl {
        &self.control
    }

    fn list_for(&mut self, size: usize) -> Result<&mut VectorList, PoolError> {
        let largest = self.lists.last().map_or(0, |list| list.samples);
        if size == 0 {
            return Err(PoolError::ZeroLength);
        }
        let at = self.lists.partition_point(|list| list.samples < size);
        self.lists.get_mut(at).ok_or(PoolError::TooLarge {
            requested: size,
            largest,
        })
    }

    /// A quantum of the half: it installs new classes and sheds.
    fn begin_quantum(&mut self) {
        self.half.get().begin_round();
    }
}

impl BufferRecyclingPool for BufferRecyclingPoolImpl {
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError> {
        let list = self.list_for(size)?;
        let mut vector = match list.vectors.pop() {
            Some(vector) => {
                list.hits += 1;
                vector
            }
            None => {
                list.created += 1;
                Vec::with_capacity(list.samples)
            }
        };
        list.out += 1;
        list.high_water = list.high_water.max(list.out);
        vector.clear();
        vector.resize(size, 0.0);
        self.control
            .set_recycled_vector_samples(recycled_vector_samples(&self.lists));
        Ok(vector)
    }

    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError> {
        let capacity = buffer.capacity();
        let smallest = self.lists.first().map_or(0, |list| list.samples);
        let most = LARGEST_KEPT * self.lists.last().map_or(0, |list| list.samples);
        if capacity > most {
            return Err(PoolError::VectorTooLarge { capacity, most });
        }
        let reached = self.lists.partition_point(|list| list.samples <= capacity);
        let at = reached
            .checked_sub(1)
            .ok_or(PoolError::VectorTooSmall { capacity, smallest })?;
        self.lists[at].out = self.lists[at].out.saturating_sub(1);
        let available = self.control.room_samples();
        if capacity > available {
            return Err(PoolError::NoRoomForVector {
                capacity,
                available,
            });
        }
        self.lists[at].vectors.push(buffer);
        self.control
            .set_recycled_vector_samples(recycled_vector_samples(&self.lists));
        Ok(())
    }

    fn get_js_buffer_ref(&mut self, size: usize) -> Result<JSBufferRef, PoolError> {
        self.bridge.leases().check_room()?;
        let half = self.half.get();
        // Checked first: an acquire that fails is counted and published, and this one is about to succeed.
        if let Some(class_samples) = self.control.grow_for(half.id(), size) {
            let at = self
                .lists
                .partition_point(|list| list.samples < class_samples);
            if let Some(list) = self.lists.get_mut(at) {
                list.grown += 1;
            }
        }
        self.bridge.acquire(half, size)
    }

    fn recycle_js_buffer_ref(&mut self, buffer_ref: JSBufferRef) -> Result<(), PoolError> {
        self.bridge.release(buffer_ref)
    }

    fn get_efficiency_metrics(&self) -> PoolMetrics {
        let mut counts = self.control.counts();
        add_vector_lists(&mut counts, &self.lists, &self.bridge);
        PoolMetrics::from_counts(&counts)
    }

    /// Each call ends one window of demand: call it at regular intervals. Vectors that were not needed in the window are
    /// freed.
    fn optimize_pool_sizes(&mut self) {
        self.now_ms += self.window_ms;
        let (bridge, lists) = (&self.bridge, &self.lists);
        self.maintenance
            .step(self.now_ms, &mut self.control, None, |counts| {
                add_vector_lists(counts, lists, bridge)
            });
        for list in &mut self.lists {
            let needed = list.high_water.saturating_sub(list.out) as usize;
            list.vectors.truncate(needed);
            list.high_water = list.out;
        }
        self.control
            .set_recycled_vector_samples(recycled_vector_samples(&self.lists));
        self.begin_quantum();
    }

    fn defragment(&mut self) -> DefragmentationResult {
        let mut whole = self.control.defragment();
        for _ in 0..SHEDDING_ROUNDS {
            if whole.complete {
                break;
            }
            self.begin_quantum();
            let next = self.control.defragment();
            whole = DefragmentationResult {
                before_percentage: whole.before_percentage,
                bytes_moved: whole.bytes_moved + next.bytes_moved,
                buffers_moved: whole.buffers_moved + next.buffers_moved,
                steps: whole.steps + next.steps,
                ..next
            };
        }
        whole
    }
}

/// A bridge whose tables fit the pool: a number for every possible buffer, if all are of the smallest class.
fn bridge_for(control: &PoolControl) -> WasmJsBridge {
    let buffers = control.slots().count();
    let smallest = control.classes().next().unwrap_or(1);
    let slots = control.limit_samples().div_ceil(smallest).min(MOST_VIEWS);
    let leases = (LEASES_PER_BUFFER * slots).clamp(1, MOST_LEASES);
    WasmJsBridge::new(0, leases, slots.max(buffers))
}

/// Adds what the pool does not count itself: vectors, and crossings.
fn add_vector_lists(counts: &mut PoolCounts, lists: &[VectorList], bridge: &WasmJsBridge) {
    counts.overhead_bytes += bridge.heap_bytes() + size_of_val(lists);
    for list in lists {
        let at = counts
            .classes
            .partition_point(|class| class.samples < list.samples);
        if counts
            .classes
            .get(at)
            .is_none_or(|class| class.samples != list.samples)
        {
            let class = ClassMetrics {
                samples: list.samples,
                retired: true,
                ..ClassMetrics::default()
            };
            counts.classes.insert(at, class);
        }
        // A buffer that was carved for a request is popped from a list a moment later, where it counts as a hit.
        let class = &mut counts.classes[at];
        class.hits = (class.hits + list.hits).saturating_sub(list.grown);
        class.created += list.created + list.grown;
        counts.overhead_bytes += list.vectors.capacity() * size_of::<Vec<f32>>();
    }
    counts.bytes_shelved = recycled_vector_samples(lists) * size_of::<f32>();
    counts.boundary = bridge.counts();
}

fn recycled_vector_samples(lists: &[VectorList]) -> usize {
    lists
        .iter()
        .flat_map(|list| &list.vectors)
        .map(Vec::capacity)
        .sum()
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "buffer_recycling_pool_tests.rs"]
mod tests;
