//! The trait of the story: vectors, buffer numbers for JavaScript, metrics, sizing and defragmentation.
//!
//! For the control side and for code that owns `Vec<f32>`. The audio thread uses [`RealtimePool`] instead, since
//! `get_or_create` may allocate.

use super::bus_observer::AttachPublisher;
use super::metrics::pool_metrics::{BoundaryCounts, PoolCounts, PoolFigures, PoolMetrics};
use super::pool_maintenance::{MaintenanceReport, PoolMaintenance};
use super::recycled_vectors::{RecycledVectors, VectorAccount, class_of};
use super::sizing::sizing_plan::MemoryPressure;
use super::sizing::sizing_rules::SizingPolicy;
use super::wasm_js_bridge::{JSBufferRef, WasmJsBridge};
use crate::event_bus::{BusError, Publisher, TypedEventBus};
use crate::step_clock::StepClock;
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
/// The number of quanta in which a defragmentation waits for the half to return buffers.
const SHEDDING_ROUNDS: usize = 1024;

/// A pool of sample buffers that recycles vectors.
pub trait BufferRecyclingPool: Send + Sync {
    /// Returns a vector of `size` zeros, recycled or new: a hit and a miss look the same. Above the largest class it is
    /// new, unless a recycled one is large enough.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) for more samples than a buffer of any pool
    /// can have; [`OutOfMemory`](PoolError::OutOfMemory) if the system refuses the memory of a new one.
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError>;

    /// Recycles a vector of any origin: it serves the largest class that its capacity reaches. One with more than twice the
    /// capacity of the largest class is freed.
    ///
    /// # Errors
    /// [`VectorTooSmall`](PoolError::VectorTooSmall) for every class, [`VectorTooLarge`](PoolError::VectorTooLarge) above
    /// twice the largest if the pool has created none like it, [`NoRoomForVector`](PoolError::NoRoomForVector) above the
    /// memory limit; the vector was freed then.
    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError>;

    /// Acquires a zeroed buffer that JavaScript uses by its number.
    ///
    /// # Errors
    /// [`ZeroLength`](PoolError::ZeroLength); [`TooLarge`](PoolError::TooLarge) above the largest class;
    /// [`Exhausted`](PoolError::Exhausted) if the limit allows no further buffer; [`TableFull`](PoolError::TableFull) with
    /// too many references; those of attaching a half to a pool that has none for JavaScript yet.
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

/// The implementation of the story's trait: a control half and its maintenance, recycled vectors, and for JavaScript a real-time
/// half with a bridge.
///
/// The module [`data_management`](super::DataManagementModule) is built on one, which it passes on as
/// [`recycling_pool`](super::DataManagementModule::recycling_pool): its vectors and its buffers for JavaScript share arena,
/// limit, figures and events with the streams. [`new`](Self::new) makes one that stands alone and publishes nothing.
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
    maintenance: PoolMaintenance,
    /// The half of the buffers for JavaScript, attached when one is first requested.
    half: Option<Unshared<RealtimePool>>,
    beside: Beside,
    bus: Option<BusEnd>,
    /// The time that passes with each call of `optimize_pool_sizes`: none where control steps have a clock.
    call_ms: f64,
    /// The length of a window after which idle vectors are freed that were not needed in it.
    window_ms: f64,
    clock: StepClock,
    now_ms: f64,
    trimmed_ms: f64,
}

/// What is beside the control half, which does not count it.
struct Beside {
    vectors: RecycledVectors,
    /// Made when it is first used.
    bridge: Option<WasmJsBridge>,
    /// Buffers that were carved for a request of JavaScript because none was idle: class, number.
    grown: Vec<(usize, u64)>,
    /// What other bridges to JavaScript counted.
    boundary: BoundaryCounts,
}

/// Where the events of a pool are published.
struct BusEnd {
    bus: TypedEventBus,
    publisher: Unshared<Publisher>,
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
        let window_ms = SizingPolicy::default().window_ms;
        Ok(Self {
            half: Some(Unshared::new(half)),
            call_ms: window_ms,
            ..Self::over(control, PoolMaintenance::default(), window_ms)
        })
    }

    /// The pool of a module: it publishes on the module's bus, and its control steps come by [`step`](Self::step).
    pub(super) fn on_bus(
        mut control: PoolControl,
        maintenance: PoolMaintenance,
        window_ms: f64,
        bus: &TypedEventBus,
    ) -> Result<Self, BusError> {
        control.attach_publisher(bus.publisher()?)?;
        Ok(Self {
            bus: Some(BusEnd {
                bus: bus.clone(),
                publisher: Unshared::new(bus.publisher()?),
            }),
            ..Self::over(control, maintenance, window_ms)
        })
    }

    fn over(control: PoolControl, maintenance: PoolMaintenance, window_ms: f64) -> Self {
        Self {
            beside: Beside {
                vectors: RecycledVectors::of(control.classes()),
                bridge: None,
                grown: Vec::new(),
                boundary: BoundaryCounts::default(),
            },
            control,
            maintenance,
            half: None,
            bus: None,
            call_ms: 0.0,
            window_ms,
            clock: StepClock::default(),
            now_ms: 0.0,
            trimmed_ms: f64::NEG_INFINITY,
        }
    }

    /// The bridge, for views and shares.
    pub fn bridge(&mut self) -> &mut WasmJsBridge {
        self.beside.bridge_of(&self.control)
    }

    /// The control half.
    #[must_use]
    pub const fn control(&self) -> &PoolControl {
        &self.control
    }

    pub(super) const fn control_mut(&mut self) -> &mut PoolControl {
        &mut self.control
    }

    pub(super) const fn maintenance(&self) -> &PoolMaintenance {
        &self.maintenance
    }

    pub(super) const fn maintenance_mut(&mut self) -> &mut PoolMaintenance {
        &mut self.maintenance
    }

    /// How much memory the recycled vectors need.
    #[must_use]
    pub fn vectors(&self) -> VectorAccount {
        self.beside.vectors.account()
    }

    /// The counts of the whole pool.
    pub(super) fn counts(&self) -> PoolCounts {
        let mut counts = self.control.counts();
        self.beside.count_into(&mut counts);
        counts
    }

    /// The number of buffers and vectors that came back so far.
    pub(super) fn recycled(&self) -> u64 {
        self.control.recycled() + self.beside.vectors.recycled()
    }

    /// Sets what other bridges to JavaScript have counted so far.
    pub(super) const fn set_boundary(&mut self, boundary: BoundaryCounts) {
        self.beside.boundary = boundary;
    }

    /// A control step: that of the [maintenance](PoolMaintenance::step), and once per window of demand the idle vectors that
    /// were not needed in it are freed. While memory is scarce, all idle vectors are.
    pub(super) fn step(&mut self, now_ms: f64) -> MaintenanceReport {
        self.now_ms = self.clock.at(now_ms);
        let report = self.maintain();
        let engine = self.maintenance.engine();
        let is_pressed =
            engine.is_some_and(|engine| engine.memory_pressure() == MemoryPressure::Critical);
        let largest = self.control.classes().max().unwrap_or(0);
        if is_pressed || self.control.room_samples() < largest {
            self.beside.vectors.free_idle();
            self.share_limit();
        } else if self.now_ms - self.trimmed_ms >= self.window_ms {
            self.trim();
        }
        report
    }

    fn maintain(&mut self) -> MaintenanceReport {
        let beside = &self.beside;
        let publisher = publisher(&mut self.bus);
        let add = |counts: &mut PoolCounts| beside.count_into(counts);
        let report = self
            .maintenance
            .step(self.now_ms, &mut self.control, publisher, add);
        self.begin_quantum();
        report
    }

    fn trim(&mut self) {
        self.trimmed_ms = self.now_ms;
        self.beside.vectors.trim();
        self.share_limit();
    }

    /// Idle vectors count against the limit of the arena.
    const fn share_limit(&mut self) {
        let samples = self.beside.vectors.idle_samples();
        self.control.set_recycled_vector_samples(samples);
    }

    /// A quantum of the half: it installs new classes and sheds.
    fn begin_quantum(&mut self) {
        if let Some(half) = &mut self.half {
            half.get().begin_round();
        }
    }
}

impl BufferRecyclingPool for BufferRecyclingPoolImpl {
    fn get_or_create(&mut self, size: usize) -> Result<Vec<f32>, PoolError> {
        let publisher = publisher(&mut self.bus);
        let vector = self.beside.vectors.get(size, publisher);
        self.share_limit();
        vector
    }

    fn recycle(&mut self, buffer: Vec<f32>) -> Result<(), PoolError> {
        let room = self.control.room_samples();
        let publisher = publisher(&mut self.bus);
        let recycled = self.beside.vectors.recycle(buffer, room, publisher);
        self.share_limit();
        recycled
    }

    fn get_js_buffer_ref(&mut self, size: usize) -> Result<JSBufferRef, PoolError> {
        let Self {
            control,
            half,
            beside,
            bus,
            ..
        } = self;
        beside.bridge_of(control).leases().check_room()?;
        let attached = match half.take() {
            Some(attached) => attached,
            None => Unshared::new(attach_half(control, bus.as_ref(), size)?),
        };
        let half = half.insert(attached).get();
        // Checked first: an acquire that fails is counted and published, and this one is about to succeed.
        if let Some(samples) = control.grow_for(half.id(), size) {
            match beside.grown.iter_mut().find(|(class, _)| *class == samples) {
                Some((_, count)) => *count += 1,
                None => beside.grown.push((samples, 1)),
            }
        }
        beside.bridge_of(control).acquire(half, size)
    }

    fn recycle_js_buffer_ref(&mut self, buffer_ref: JSBufferRef) -> Result<(), PoolError> {
        self.bridge().release(buffer_ref)
    }

    fn get_efficiency_metrics(&self) -> PoolMetrics {
        PoolMetrics::from_counts(&self.counts())
    }

    /// Each call ends one window of demand: call it at regular intervals. Vectors that were not needed in the window are
    /// freed. A pool with scheduled control steps needs no call: they do the same.
    fn optimize_pool_sizes(&mut self) {
        self.now_ms += self.call_ms;
        self.maintain();
        self.trim();
    }

    fn defragment(&mut self) -> DefragmentationResult {
        let mut whole = self.control.defragment();
        let rounds = self.half.as_ref().map_or(0, |_| SHEDDING_ROUNDS);
        for _ in 0..rounds {
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

/// A half for buffers of JavaScript, with the mix of the builder; its sizes follow demand.
fn attach_half(
    control: &mut PoolControl,
    bus: Option<&BusEnd>,
    size: usize,
) -> Result<RealtimePool, PoolError> {
    let mut half = control.attach()?;
    if let Some(end) = bus {
        let publisher = end.bus.publisher();
        let attached = publisher.and_then(|publisher| half.attach_publisher(publisher));
        attached.map_err(|_| PoolError::NoHalf {
            class_samples: u32::try_from(size).unwrap_or(u32::MAX),
        })?;
    }
    Ok(half)
}

fn publisher(bus: &mut Option<BusEnd>) -> Option<&Publisher> {
    bus.as_mut().map(|end| &*end.publisher.get())
}

impl Beside {
    fn bridge_of(&mut self, control: &PoolControl) -> &mut WasmJsBridge {
        self.bridge.get_or_insert_with(|| bridge_for(control))
    }

    /// Adds the counts of the vectors and of the bridge.
    fn count_into(&self, counts: &mut PoolCounts) {
        self.vectors.count_into(counts);
        for &(samples, grown) in &self.grown {
            // A buffer that was carved for a request is popped from a list a moment later, where it counts as a hit.
            let class = class_of(&mut counts.classes, samples);
            class.hits = class.hits.saturating_sub(grown);
            class.created += grown;
        }
        counts.boundary = self.boundary;
        if let Some(bridge) = &self.bridge {
            counts.overhead_bytes += bridge.heap_bytes();
            counts.boundary.add(&bridge.counts());
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "buffer_recycling_pool_tests.rs"]
mod tests;
