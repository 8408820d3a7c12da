//! The story's trait: vectors in and out, numbers for JavaScript, metrics, sizing and defragmentation behind one face.
//!
//! For the control side and for code that owns `Vec<f32>`. The audio thread uses [`RealtimePool`] instead: `get_or_create`
//! may create.

use super::control::defragmentation::DefragmentationResult;
use super::control::pool_builder::PoolBuilder;
use super::control::pool_control::PoolControl;
use super::control::pool_maintenance::PoolMaintenance;
use super::error::PoolError;
use super::pool_metrics::{ClassMetrics, PoolCounts, PoolMetrics};
use super::realtime::realtime_pool::RealtimePool;
use super::sizing::sizing_rules::SizingPolicy;
use super::unshared::Unshared;
use super::wasm_js_bridge::{JSBufferRef, WasmJsBridge};

/// JavaScript's references at once, for each buffer there can be: one, and a share of it.
const LEASES_PER_BUFFER: usize = 2;
/// JavaScript's references at once, at most.
const MOST_LEASES: usize = 1024;
/// Buffers whose view JavaScript keeps, at most.
const MOST_VIEWS: usize = 1 << 12;
/// A vector larger than this many times the largest class is freed, not kept.
const LARGEST_KEPT: usize = 2;
/// Quanta a defragmentation waits for the half to shed.
const SHEDDING_ROUNDS: usize = 1024;

/// A pool of sample buffers with a recycling face.
pub trait BufferRecyclingPool: Send + Sync {
    /// A vector of `size` zeros, recycled or new: a hit and a miss look the same.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) above the largest class.
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError>;

    /// Takes a vector back, wherever it came from: it serves the largest class its capacity reaches.
    ///
    /// # Errors
    /// [`VectorTooSmall`](PoolError::VectorTooSmall) for every class, [`VectorTooLarge`](PoolError::VectorTooLarge) beyond
    /// twice the largest, [`NoRoomForVector`](PoolError::NoRoomForVector) within the memory limit; it was freed.
    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError>;

    /// A zeroed buffer that JavaScript reaches by number.
    ///
    /// # Errors
    /// As for `get_or_create`; [`Exhausted`](PoolError::Exhausted) when the limit allows no further buffer;
    /// [`TableFull`](PoolError::TableFull) with too many references.
    fn get_js_buffer_ref(&mut self, size: usize) -> Result<JSBufferRef, PoolError>;

    /// Takes it back.
    ///
    /// # Errors
    /// [`StaleLease`](PoolError::StaleLease) for a number that is not live, [`WrongHolder`](PoolError::WrongHolder).
    fn recycle_js_buffer_ref(&mut self, buffer_ref: JSBufferRef) -> Result<(), PoolError>;

    /// A snapshot of every figure.
    fn get_efficiency_metrics(&self) -> PoolMetrics;

    /// Looks at the demand since the last call, and adapts what is held to it.
    fn optimize_pool_sizes(&mut self);

    /// Gives idle memory back to the arena, where it coalesces.
    fn defragment(&mut self) -> DefragmentationResult;
}

/// Recycled vectors of one class.
struct VectorList {
    samples: usize,
    vectors: Vec<Vec<f32>>,
    hits: u64,
    created: u64,
    /// Buffers carved because JavaScript asked for one and none was idle.
    grown: u64,
    /// Vectors handed out and not come back, as far as this pool can know: one that is dropped is never seen again.
    out: u64,
    high_water: u64,
}

/// The pool behind the story's trait: control half, a real-time half of its own, bridge, and a size class of vectors.
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

    /// The half's own time: it takes up new classes and sheds.
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
        // Looked at first: an acquire that fails is counted and told, and this one is about to succeed.
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

    /// Each call closes one demand window: call it at a steady pace. Vectors that the window did not need are freed.
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

/// A bridge whose tables fit the pool: a number for every buffer there can be, if all are of the smallest class.
fn bridge_for(control: &PoolControl) -> WasmJsBridge {
    let buffers = control.slots().count();
    let smallest = control.classes().next().unwrap_or(1);
    let slots = control.limit_samples().div_ceil(smallest).min(MOST_VIEWS);
    let leases = (LEASES_PER_BUFFER * slots).clamp(1, MOST_LEASES);
    WasmJsBridge::new(0, leases, slots.max(buffers))
}

/// What the pool does not count itself: vectors, and crossings.
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
        // A buffer carved for a request is taken off a list a moment later, where it counts as a hit.
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
mod tests {
    use super::*;
    use crate::modules::data_management::BufferPool;

    fn pool() -> BufferRecyclingPoolImpl {
        let builder = BufferPool::builder()
            .class(64, 2)
            .class(256, 2)
            .limit_samples(4096);
        BufferRecyclingPoolImpl::new(builder).unwrap()
    }

    #[test]
    fn a_reference_is_made_while_the_limit_allows_it_whatever_was_asked_back() {
        let builder = BufferPool::builder().class(256, 4).limit_samples(8192);
        let mut pool = BufferRecyclingPoolImpl::new(builder).unwrap();
        let held: Vec<_> = (0..4)
            .map(|_| pool.get_js_buffer_ref(200).unwrap())
            .collect();
        // Asks back more than is idle: some of these.
        pool.control.shrink(256, 3).unwrap();
        (0..8).for_each(|_| _ = pool.control.step(100));
        let more: Vec<_> = (0..6).map(|_| pool.get_js_buffer_ref(200)).collect();
        assert!(more.iter().all(Result::is_ok), "{more:?}");
        drop(held);
    }

    #[test]
    fn a_buffer_number_that_stands_for_other_memory_needs_a_new_array() {
        let builder = BufferPool::builder()
            .class(64, 1)
            .class(256, 2)
            .limit_samples(4096);
        let mut pool = BufferRecyclingPoolImpl::new(builder).unwrap();
        let mut arrays = std::collections::HashMap::new();
        let mut renumbered = 0;
        for size in [256, 256, 64, 64, 64, 64, 64, 64] {
            let buffer = pool.get_js_buffer_ref(size).unwrap();
            let view = pool.bridge.view(buffer).unwrap();
            let memory = (view.address, view.capacity);
            let known = arrays.insert(view.slot, memory);
            assert_eq!(view.make, known != Some(memory), "{view:?}");
            renumbered += usize::from(known.is_some_and(|known| known != memory));
            pool.bridge.end_view(buffer).unwrap();
            if size == 256 {
                pool.recycle_js_buffer_ref(buffer).unwrap();
                pool.control.shrink(256, 2).unwrap();
                (0..8).for_each(|_| _ = pool.defragment());
            }
        }
        assert!(renumbered > 0, "no number was used again for other memory");
    }

    #[test]
    fn a_hit_and_a_miss_look_the_same() {
        let mut pool = pool();
        let mut vector = pool.get_or_create(60).unwrap();
        assert_eq!((vector.len(), vector.capacity()), (60, 64));
        vector.fill(1.0);
        pool.recycle(vector).unwrap();
        assert_eq!(pool.get_or_create(64).unwrap(), [0.0; 64]);
        let metrics = pool.get_efficiency_metrics();
        assert_eq!(
            (
                metrics.pool_hits,
                metrics.created,
                metrics.total_allocations
            ),
            (1, 1, 2)
        );
        assert_eq!(metrics.hit_rate_percentage, Some(50.0));
    }

    #[test]
    fn sizes_without_a_class_are_refused() {
        let mut pool = pool();
        assert_eq!(pool.get_or_create(0), Err(PoolError::ZeroLength));
        let too_large = Err(PoolError::TooLarge {
            requested: 257,
            largest: 256,
        });
        assert_eq!(pool.get_or_create(257), too_large);
        assert_eq!(pool.get_js_buffer_ref(257).err(), too_large.err());
    }

    #[test]
    fn foreign_and_resized_vectors_serve_the_class_they_reach() {
        let mut pool = pool();
        pool.recycle(Vec::with_capacity(300)).unwrap();
        pool.recycle(vec![1.0; 64]).unwrap();
        assert!(pool.get_or_create(250).unwrap().capacity() >= 300);
        assert_eq!(pool.get_or_create(10).unwrap(), [0.0; 10]);
        assert_eq!(pool.get_efficiency_metrics().pool_hits, 2);
        assert!(matches!(
            pool.recycle(Vec::with_capacity(63)),
            Err(PoolError::VectorTooSmall { smallest: 64, .. })
        ));
        assert!(matches!(
            pool.recycle(Vec::with_capacity(513)),
            Err(PoolError::VectorTooLarge { most: 512, .. })
        ));
    }

    #[test]
    fn recycled_vectors_share_the_limit() {
        let mut pool = pool();
        let room = pool.control().room_samples();
        let kept = (0..100)
            .filter(|_| pool.recycle(Vec::with_capacity(256)).is_ok())
            .count();
        assert_eq!(kept, room / 256);
        assert!(matches!(
            pool.recycle(Vec::with_capacity(256)),
            Err(PoolError::NoRoomForVector { available, .. }) if available < 256
        ));
        assert!(pool.control.grow(256, 1).is_err());
        let metrics = pool.get_efficiency_metrics();
        assert_eq!(metrics.sample_bytes, metrics.bytes_reserved + kept * 1024);
    }

    #[test]
    fn references_are_zeroed_checked_and_grown_within_the_limit() {
        let mut pool = pool();
        let many: Vec<_> = core::iter::from_fn(|| pool.get_js_buffer_ref(200).ok()).collect();
        assert!(many.len() > 2 && many.len() <= 4096 / 256, "{}", many.len());
        let view = pool.bridge().view(many[0]).unwrap();
        assert_eq!((view.samples, view.capacity), (200, 256));
        for &buffer in &many {
            pool.recycle_js_buffer_ref(buffer).unwrap();
        }
        assert!(matches!(
            pool.recycle_js_buffer_ref(many[0]),
            Err(PoolError::StaleLease { .. })
        ));
        assert_eq!(pool.control().leased(), 0);
        assert!(pool.control().is_valid());
        assert_eq!(
            pool.get_efficiency_metrics().wasm_js_boundary_allocations,
            1
        );
    }

    #[test]
    fn defragmenting_gives_back_what_was_never_needed() {
        let mut pool = pool();
        let held = pool.get_js_buffer_ref(256).unwrap();
        let before = pool.get_efficiency_metrics().bytes_held;
        let result = pool.defragment();
        assert!(result.complete);
        assert!(result.bytes_moved > 0 && pool.get_efficiency_metrics().bytes_held < before);
        assert!(pool.control().is_valid());
        pool.recycle_js_buffer_ref(held).unwrap();
        assert!(pool.get_js_buffer_ref(256).is_ok());
    }

    #[test]
    fn optimizing_grows_what_is_in_demand() {
        let mut pool = pool();
        for _ in 0..20 {
            let held: Vec<_> = (0..2)
                .map(|_| pool.get_js_buffer_ref(64).unwrap())
                .collect();
            for buffer in held {
                pool.recycle_js_buffer_ref(buffer).unwrap();
            }
            pool.optimize_pool_sizes();
            assert!(pool.control().is_valid());
        }
        let metrics = pool.get_efficiency_metrics();
        assert!(metrics.classes[0].carved > 2, "{metrics:?}");
        assert_eq!(metrics.exhausted, 0);
    }

    #[test]
    fn the_default_builder_keeps_vectors() {
        let mut pool = BufferRecyclingPoolImpl::new(BufferPool::builder()).unwrap();
        let vector = pool.get_or_create(1000).unwrap();
        pool.recycle(vector).unwrap();
        pool.get_or_create(1000).unwrap();
        assert_eq!(pool.get_efficiency_metrics().pool_hits, 1);
    }

    #[test]
    fn a_reference_that_makes_the_pool_grow_is_created_not_exhausted() {
        let mut pool = pool();
        let held: Vec<_> = (0..3)
            .map(|_| pool.get_js_buffer_ref(64).unwrap())
            .collect();
        let metrics = pool.get_efficiency_metrics();
        assert_eq!(
            (metrics.pool_hits, metrics.created, metrics.exhausted),
            (2, 1, 0)
        );
        drop(held);
        while pool.get_js_buffer_ref(200).is_ok() {}
        assert_eq!(pool.get_efficiency_metrics().exhausted, 1);
    }

    #[test]
    fn the_bridge_s_tables_are_overhead() {
        let pool = pool();
        let tables = pool.get_efficiency_metrics().memory_overhead_bytes;
        let own = pool.control().metrics().memory_overhead_bytes;
        let lists = size_of_val(&*pool.lists);
        assert_eq!(tables, own + lists + pool.bridge.heap_bytes());
        assert!(pool.bridge.heap_bytes() > 0);
    }
}
