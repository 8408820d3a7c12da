//! The story's trait: vectors in and out, numbers for JavaScript, metrics, sizing and defragmentation behind one face.
//!
//! For the control side and for code that owns `Vec<f32>`. The audio thread uses [`RealtimePool`] instead: `get_or_create`
//! may create.

use super::defragmentation::DefragmentationResult;
use super::error::PoolError;
use super::pool_builder::PoolBuilder;
use super::pool_control::PoolControl;
use super::pool_keeper::PoolKeeper;
use super::pool_metrics::{BoundaryCounts, ClassMetrics, PoolCounts, PoolMetrics};
use super::pool_monitor::AlertRules;
use super::realtime_pool::RealtimePool;
use super::sizing_rules::SizingPolicy;
use super::unshared::Unshared;
use super::wasm_js_bridge::{JSBufferRef, WasmJsBridge};

/// JavaScript's references at once.
const LEASES: usize = 1024;
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
    /// [`NotRecyclable`](PoolError::NotRecyclable) when it is smaller than every class, larger than twice the largest, or
    /// the memory limit is reached; it was freed.
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
struct VecShelf {
    samples: usize,
    vectors: Vec<Vec<f32>>,
    hits: u64,
    created: u64,
    /// Vectors handed out and not come back, as far as this pool can know: one that is dropped is never seen again.
    out: u64,
    high_water: u64,
}

/// The pool behind the story's trait: control half, a real-time half of its own, bridge, and a shelf of vectors.
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
    shelves: Vec<VecShelf>,
    keeper: PoolKeeper,
    window_ms: f64,
    now_ms: f64,
    frame: u64,
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<BufferRecyclingPoolImpl>();
};

impl BufferRecyclingPoolImpl {
    /// Builds the pool. Shelved vectors and arena share the builder's limit: with no room beyond the mix, no vector is kept.
    ///
    /// # Errors
    /// Those of [`PoolBuilder::build`].
    pub fn new(builder: PoolBuilder) -> Result<Self, PoolError> {
        let (control, half) = builder.build()?;
        let policy = SizingPolicy::default();
        let shelves = control
            .classes()
            .map(|samples| VecShelf {
                samples,
                vectors: Vec::new(),
                hits: 0,
                created: 0,
                out: 0,
                high_water: 0,
            })
            .collect();
        Ok(Self {
            bridge: WasmJsBridge::new(0, LEASES, control.most_slots()),
            control,
            half: Unshared::new(half),
            shelves,
            window_ms: policy.window_ms,
            keeper: PoolKeeper::new(AlertRules::default(), Some(policy)),
            now_ms: 0.0,
            frame: 0,
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

    fn shelf_for(&mut self, size: usize) -> Result<&mut VecShelf, PoolError> {
        let largest = self.shelves.last().map_or(0, |shelf| shelf.samples);
        if size == 0 {
            return Err(PoolError::ZeroLength);
        }
        let at = self.shelves.partition_point(|shelf| shelf.samples < size);
        self.shelves.get_mut(at).ok_or(PoolError::TooLarge {
            requested: size,
            largest,
        })
    }

    /// The half's own time: it takes up new classes and sheds.
    fn begin_quantum(&mut self) {
        self.frame += 1;
        self.half.get().begin_quantum(self.frame);
    }
}

impl BufferRecyclingPool for BufferRecyclingPoolImpl {
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError> {
        let shelf = self.shelf_for(size)?;
        let mut vector = match shelf.vectors.pop() {
            Some(vector) => {
                shelf.hits += 1;
                vector
            }
            None => {
                shelf.created += 1;
                Vec::with_capacity(shelf.samples)
            }
        };
        shelf.out += 1;
        shelf.high_water = shelf.high_water.max(shelf.out);
        vector.clear();
        vector.resize(size, 0.0);
        self.control.set_shelved(shelved_samples(&self.shelves));
        Ok(vector)
    }

    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError> {
        let capacity = buffer.capacity();
        let refused = PoolError::NotRecyclable { capacity };
        let largest = self.shelves.last().map_or(0, |shelf| shelf.samples);
        let reached = self
            .shelves
            .partition_point(|shelf| shelf.samples <= capacity);
        let at = reached
            .checked_sub(1)
            .filter(|_| capacity <= LARGEST_KEPT * largest)
            .ok_or(refused)?;
        self.shelves[at].out = self.shelves[at].out.saturating_sub(1);
        if capacity > self.control.room_samples() {
            return Err(refused);
        }
        self.shelves[at].vectors.push(buffer);
        self.control.set_shelved(shelved_samples(&self.shelves));
        Ok(())
    }

    fn get_js_buffer_ref(&mut self, size: usize) -> Result<JSBufferRef, PoolError> {
        let half = self.half.get();
        match self.bridge.acquire(half, size) {
            Err(PoolError::Exhausted { class_samples, .. }) => {
                self.control.grow(class_samples as usize, 1)?;
                self.bridge.acquire(half, size)
            }
            answer => answer,
        }
    }

    fn recycle_js_buffer_ref(&mut self, buffer_ref: JSBufferRef) -> Result<(), PoolError> {
        self.bridge.release(buffer_ref)
    }

    fn get_efficiency_metrics(&self) -> PoolMetrics {
        let mut counts = self.control.counts();
        add_shelves(&mut counts, &self.shelves, self.bridge.counts());
        PoolMetrics::from_counts(&counts)
    }

    /// Each call closes one demand window: call it at a steady pace. Vectors that the window did not need are freed.
    fn optimize_pool_sizes(&mut self) {
        self.now_ms += self.window_ms;
        let boundary = self.bridge.counts();
        let shelves = &self.shelves;
        self.keeper
            .step(self.now_ms, &mut self.control, None, |counts| {
                add_shelves(counts, shelves, boundary)
            });
        for shelf in &mut self.shelves {
            let needed = shelf.high_water.saturating_sub(shelf.out) as usize;
            shelf.vectors.truncate(needed);
            shelf.high_water = shelf.out;
        }
        self.control.set_shelved(shelved_samples(&self.shelves));
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

/// What the pool does not count itself: vectors, and crossings.
fn add_shelves(counts: &mut PoolCounts, shelves: &[VecShelf], boundary: BoundaryCounts) {
    for shelf in shelves {
        let at = counts
            .classes
            .partition_point(|class| class.samples < shelf.samples);
        if counts
            .classes
            .get(at)
            .is_none_or(|class| class.samples != shelf.samples)
        {
            let class = ClassMetrics {
                samples: shelf.samples,
                retired: true,
                ..ClassMetrics::default()
            };
            counts.classes.insert(at, class);
        }
        counts.classes[at].hits += shelf.hits;
        counts.classes[at].created += shelf.created;
        counts.overhead_bytes += shelf.vectors.capacity() * size_of::<Vec<f32>>();
    }
    counts.bytes_shelved = shelved_samples(shelves) * size_of::<f32>();
    counts.boundary = boundary;
}

fn shelved_samples(shelves: &[VecShelf]) -> usize {
    shelves
        .iter()
        .flat_map(|shelf| &shelf.vectors)
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
        for capacity in [0, 63, 513] {
            let vector = Vec::with_capacity(capacity);
            let refused = PoolError::NotRecyclable {
                capacity: vector.capacity(),
            };
            assert_eq!(pool.recycle(vector), Err(refused));
        }
    }

    #[test]
    fn shelved_vectors_share_the_limit() {
        let mut pool = pool();
        let room = pool.control().room_samples();
        let kept = (0..100)
            .filter(|_| pool.recycle(Vec::with_capacity(256)).is_ok())
            .count();
        assert_eq!(kept, room / 256);
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
}
