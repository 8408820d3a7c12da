//! The pool's statistics: each is declared once, with meaning, unit, formula and version.
//!
//! The pool provides its counts ([`PoolCounts`]); every derived figure is computed here and nowhere else. A figure that was
//! not measured is `None`, which serialises as `null`.

use serde::{Deserialize, Serialize};

pub use wavepool_core::ClassMetrics;
use wavepool_core::PoolControl;
use wavepool_core::PoolUsage;

/// The version of the set of statistics; each [`Statistic::since`] is at most this.
pub const METRICS_VERSION: u16 = 1;

/// The declaration of one statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statistic {
    /// The name of the field, as in JSON.
    pub name: &'static str,
    /// Whether it is a counter or a gauge.
    pub kind: Kind,
    /// The unit of the value.
    pub unit: Unit,
    /// The meaning of the figure.
    pub meaning: &'static str,
    /// The formula.
    pub formula: &'static str,
    /// The first [`METRICS_VERSION`] with this statistic.
    pub since: u16,
}

/// The kind of a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A counter since the pool was built; it never falls.
    Total,
    /// A gauge: the state at the time of the snapshot; it rises and falls.
    Level,
}

/// The unit of a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Acquires: requests for a buffer.
    Acquires,
    /// Buffers.
    Buffers,
    /// Bytes.
    Bytes,
    /// Samples of four bytes.
    Samples,
    /// Leases: buffer numbers given to another participant.
    Leases,
    /// JavaScript objects.
    Objects,
    /// Percent.
    Percent,
    /// Yes or no.
    Flag,
    /// A list of records with their own statistics.
    Records,
}

/// The declared statistics of a snapshot.
pub trait Statistics {
    /// The declaration of every field, in order.
    const STATISTICS: &'static [Statistic];

    /// Every declaration with its value; none where it was not measured, or is not one number.
    fn figures(&self) -> impl Iterator<Item = (&'static Statistic, Option<f64>)>;
}

/// A statistic's value as a number.
trait Figure {
    fn figure(&self) -> Option<f64>;
}

macro_rules! figures {
    ($($Type:ty: $value:ident => $figure:expr;)*) => {$(
        impl Figure for $Type {
            fn figure(&self) -> Option<f64> {
                let $value = self;
                $figure
            }
        }
    )*};
}

figures! {
    u64: value => Some(*value as f64);
    usize: value => Some(*value as f64);
    f32: value => Some(f64::from(*value));
    bool: value => Some(f64::from(u8::from(*value)));
    Option<f32>: value => value.map(f64::from);
    Vec<ClassMetrics>: _records => None;
}

/// Declares a struct of statistics together with the table of its declarations, so that the two always agree. For a struct
/// of the pool's core it makes the table alone, which has every field.
macro_rules! statistics {
    (@table $($field:ident, $kind:ident, $unit:ident, $since:literal, $meaning:literal, $formula:literal;)*) => {
        &[$(Statistic {
            name: stringify!($field),
            kind: Kind::$kind,
            unit: Unit::$unit,
            meaning: $meaning,
            formula: $formula,
            since: $since,
        }),*]
    };
    ($Name:ident {
        $($field:ident, $kind:ident, $unit:ident, $since:literal, $meaning:literal, $formula:literal;)*
    }) => {
        impl Statistics for $Name {
            const STATISTICS: &'static [Statistic] = statistics!(@table $($field, $kind, $unit, $since, $meaning, $formula;)*);

            fn figures(&self) -> impl Iterator<Item = (&'static Statistic, Option<f64>)> {
                let Self { $($field),* } = self;
                Self::STATISTICS.iter().zip([$(Figure::figure($field)),*])
            }
        }
    };
    ($(#[$attribute:meta])* pub struct $Name:ident {
        $($field:ident: $ty:ty, $kind:ident, $unit:ident, $since:literal, $meaning:literal, $formula:literal;)*
    }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        pub struct $Name {
            $(
                #[doc = $meaning]
                #[doc = ""]
                #[doc = concat!("Formula: ", $formula, ".")]
                pub $field: $ty,
            )*
        }

        impl $Name {
            /// The declaration of every field, in order.
            pub const STATISTICS: &'static [Statistic] = statistics!(@table $($field, $kind, $unit, $since, $meaning, $formula;)*);

            /// Every declaration with its value; `None` if it was not measured, or is not a single number.
            ///
            /// # Examples
            /// ```
            /// use wavepool::prelude::*;
            ///
            /// let (control, _half) = BufferPool::builder().class(256, 4).build()?;
            /// let metrics = control.metrics();
            /// for (statistic, value) in metrics.figures() {
            ///     let value = value.map_or("not measured".into(), |value| value.to_string());
            ///     println!("{}: {value}", statistic.meaning);
            /// }
            /// # Ok::<(), PoolError>(())
            /// ```
            pub fn figures(&self) -> impl Iterator<Item = (&'static Statistic, Option<f64>)> {
                Self::STATISTICS.iter().zip([$(Figure::figure(&self.$field)),*])
            }
        }
    };
}

statistics! {
    /// A snapshot of the pool. It costs the audio thread nothing, since it is made from counters that this thread writes
    /// anyway.
    ///
    /// While other threads acquire and release, the counters may be a few operations apart; when the pool is idle they agree.
    pub struct PoolMetrics {
        total_allocations: u64, Total, Acquires, 1, "Requests for a buffer, each channel of a planar buffer counted", "pool_hits + pool_misses";
        pool_hits: u64, Total, Acquires, 1, "Requests served from idle buffers of their own class", "sum of classes.hits";
        pool_misses: u64, Total, Acquires, 1, "Requests not served from their own class", "borrowed + created + exhausted";
        hit_rate_percentage: Option<f32>, Level, Percent, 1, "Share of requests served from their own class; none before the first request", "pool_hits / total_allocations x 100";
        memory_overhead_bytes: usize, Level, Bytes, 1, "Memory the pool holds beyond samples: tables, lists, padding", "allocated bytes - sample_bytes";
        fragmentation_percentage: f32, Level, Percent, 1, "Share of the arena that lies free in runs too short for the largest class", "free bytes in coalesced runs shorter than the largest class / bytes_reserved x 100";
        js_gc_pressure_reduction: Option<f32>, Level, Percent, 1, "Garbage the bridge spared JavaScript; none where no crossing was measured", "(1 - bytes really allocated in JavaScript / bytes of the unpooled path for the same crossings) x 100";
        wasm_js_boundary_allocations: u64, Total, Objects, 1, "JavaScript objects the bridge created: views, messages, buffers", "counted at each creation";
        borrowed: u64, Total, Acquires, 1, "Requests served by the next larger class", "sum of classes.borrowed";
        created: u64, Total, Acquires, 1, "Requests served by the system allocator, off the audio thread", "sum of classes.created";
        exhausted: u64, Total, Acquires, 1, "Requests refused because no buffer was idle", "sum of classes.exhausted";
        leased: u64, Level, Buffers, 1, "Buffers in use", "sum of classes.leased";
        leases_reclaimed: u64, Total, Leases, 1, "Leases reclaimed from participants that died", "counted at each reclaim";
        buffers_leaked: u64, Total, Buffers, 1, "Buffers still leased after their owner was gone or their stream closed", "counted at each leak report";
        bytes_leased: usize, Level, Bytes, 1, "Capacity of the leased buffers", "sum of classes.leased x classes.samples x 4";
        bytes_held: usize, Level, Bytes, 1, "Capacity of all carved buffers, leased or idle", "sum of classes.carved x classes.samples x 4";
        bytes_reserved: usize, Level, Bytes, 1, "Sample memory of the arena, carved or free", "sum of region lengths x 4";
        bytes_limit: usize, Level, Bytes, 1, "Sample memory the pool may grow to", "as configured";
        sample_bytes: usize, Level, Bytes, 1, "All memory for samples: the arena and recycled vectors", "bytes_reserved - padding of carved buffers + capacity of recycled vectors x 4";
        memory_overhead_percentage: Option<f32>, Level, Percent, 1, "Overhead against sample memory; none without sample memory", "memory_overhead_bytes / sample_bytes x 100";
        largest_free_run_samples: usize, Level, Samples, 1, "Longest run of free arena", "longest coalesced free run";
        internal_waste_percentage: Option<f32>, Level, Percent, 1, "Capacity of leased buffers that was not requested; none if no buffer is leased", "(leased capacity - requested samples) / leased capacity x 100";
        classes: Vec<ClassMetrics>, Level, Records, 1, "One record per size class, smallest first", "see ClassMetrics";
    }
}

statistics! {
    ClassMetrics {
        samples, Level, Samples, 1, "Capacity of each buffer", "as configured or learned";
        carved, Level, Buffers, 1, "Buffers that exist", "idle + leased";
        idle, Level, Buffers, 1, "Buffers on a free list", "local + inbox + surplus";
        leased, Level, Buffers, 1, "Buffers in use", "acquired - returned";
        high_water, Level, Buffers, 1, "Most buffers ever leased at once", "running maximum of leased";
        recent_high_water, Level, Buffers, 1, "Most buffers leased at once since the control step last looked", "running maximum of leased, begun anew by each control step";
        hits, Total, Acquires, 1, "Requests served from this class's idle buffers", "counted at each acquire";
        borrowed, Total, Acquires, 1, "Requests of this class served by the next larger one", "counted at each acquire";
        created, Total, Acquires, 1, "Requests of this class served by the system allocator", "counted at each creation";
        exhausted, Total, Acquires, 1, "Requests of this class refused", "counted at each refusal";
        draining, Level, Buffers, 1, "Buffers that go back to the arena as soon as they are idle", "carved buffers above the reclaim threshold";
        retired, Level, Flag, 1, "Whether the class serves no more requests and only waits for its buffers", "set when the classes change";
        requested_samples, Level, Samples, 1, "Samples requested for the leased buffers", "sum of requested lengths over leased buffers";
    }
}

/// Adds the counts of the same class of another pool; sums saturate. A sum of high-water marks is an upper bound, because
/// they may be of different times.
fn add_class(sum: &mut ClassMetrics, other: &ClassMetrics) {
    add(&mut sum.carved, other.carved);
    add(&mut sum.idle, other.idle);
    add(&mut sum.leased, other.leased);
    add(&mut sum.high_water, other.high_water);
    add(&mut sum.hits, other.hits);
    add(&mut sum.borrowed, other.borrowed);
    add(&mut sum.created, other.created);
    add(&mut sum.exhausted, other.exhausted);
    add(&mut sum.requested_samples, other.requested_samples);
    add(&mut sum.recent_high_water, other.recent_high_water);
    sum.retired &= other.retired;
    add(&mut sum.draining, other.draining);
}

/// The counts of the pool, from which all other figures in [`PoolMetrics`] are computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolCounts {
    /// Counters per class, smallest class first.
    pub classes: Vec<ClassMetrics>,
    /// Bytes that the pool allocated beyond sample memory.
    pub overhead_bytes: usize,
    /// Arena memory of carved buffers beyond their capacity: the rest of their last 64 bytes.
    pub padding_bytes: usize,
    /// Sample memory of the arena.
    pub bytes_reserved: usize,
    /// The limit of the arena's sample memory.
    pub bytes_limit: usize,
    /// Sample memory on the shelves of recycled vectors.
    pub bytes_shelved: usize,
    /// Free arena memory in coalesced runs that are shorter than the largest class.
    pub short_run_samples: usize,
    /// The longest free run of the arena.
    pub largest_free_run_samples: usize,
    /// Leases reclaimed from participants that died.
    pub leases_reclaimed: u64,
    /// Buffers reported as leaked.
    pub buffers_leaked: u64,
    /// The counts of the boundary to JavaScript, if there is one.
    pub boundary: BoundaryCounts,
}

/// The counts of the bridge to JavaScript.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryCounts {
    /// Number of JavaScript objects made.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes_allocated: u64,
    /// Bytes that the unpooled path would have allocated, by calibrated unit costs.
    pub bytes_unpooled: u64,
}

/// What the pool counted, without what other parts add.
impl From<PoolUsage> for PoolCounts {
    fn from(usage: PoolUsage) -> Self {
        Self {
            classes: usage.classes,
            overhead_bytes: usage.overhead_bytes,
            padding_bytes: usage.padding_bytes,
            bytes_reserved: usage.bytes_reserved,
            bytes_limit: usage.bytes_limit,
            bytes_shelved: 0,
            short_run_samples: usage.short_run_samples,
            largest_free_run_samples: usage.largest_free_run_samples,
            leases_reclaimed: usage.leases_reclaimed,
            buffers_leaked: usage.buffers_leaked,
            boundary: BoundaryCounts::default(),
        }
    }
}

/// The figures of a pool.
pub trait PoolFigures {
    /// A snapshot of every figure. Costs the real-time halves nothing.
    ///
    /// # Examples
    /// ```
    /// use wavepool::prelude::*;
    ///
    /// let (control, half) = BufferPool::builder().class(256, 4).build()?;
    /// let _held = half.acquire(200)?;
    /// let metrics = control.metrics();
    /// assert_eq!((metrics.leased, metrics.hit_rate_percentage), (1, Some(100.0)));
    /// # Ok::<(), PoolError>(())
    /// ```
    fn metrics(&self) -> PoolMetrics;

    /// The counts of the pool; other parts add theirs before they become [`PoolMetrics`].
    ///
    /// # Examples
    /// ```
    /// use wavepool::prelude::*;
    ///
    /// let (control, half) = BufferPool::builder().class(256, 4).build()?;
    /// let _held = half.acquire(200)?;
    /// assert_eq!(PoolMetrics::from_counts(&control.counts()).leased, 1);
    /// # Ok::<(), PoolError>(())
    /// ```
    fn counts(&self) -> PoolCounts;

    /// [`counts`](Self::counts) into a value that is used again, so that counting does not allocate once `classes` has
    /// its capacity.
    ///
    /// # Examples
    /// ```
    /// use wavepool::prelude::*;
    ///
    /// let (control, half) = BufferPool::builder().class(256, 4).build()?;
    /// let _held = half.acquire(200)?;
    /// let mut counts = control.counts();
    /// control.count_into(&mut counts);
    /// assert_eq!(PoolMetrics::from_counts(&counts).leased, 1);
    /// # Ok::<(), PoolError>(())
    /// ```
    fn count_into(&self, counts: &mut PoolCounts);
}

impl PoolFigures for PoolControl {
    fn metrics(&self) -> PoolMetrics {
        PoolMetrics::from_counts(&self.counts())
    }

    fn counts(&self) -> PoolCounts {
        self.usage().into()
    }

    fn count_into(&self, counts: &mut PoolCounts) {
        let mut usage = PoolUsage {
            classes: core::mem::take(&mut counts.classes),
            ..PoolUsage::default()
        };
        self.read_usage(&mut usage);
        *counts = usage.into();
    }
}

impl PoolCounts {
    /// Adds the counts of another pool, class by class: for an application with a pool per memory.
    pub fn add(&mut self, other: &Self) {
        for class in &other.classes {
            match self
                .classes
                .iter_mut()
                .find(|own| own.samples == class.samples)
            {
                Some(own) => add_class(own, class),
                None => self.classes.push(class.clone()),
            }
        }
        self.classes.sort_unstable_by_key(|class| class.samples);
        add_size(&mut self.overhead_bytes, other.overhead_bytes);
        add_size(&mut self.padding_bytes, other.padding_bytes);
        add_size(&mut self.bytes_reserved, other.bytes_reserved);
        add_size(&mut self.bytes_limit, other.bytes_limit);
        add_size(&mut self.bytes_shelved, other.bytes_shelved);
        add_size(&mut self.short_run_samples, other.short_run_samples);
        self.largest_free_run_samples = self
            .largest_free_run_samples
            .max(other.largest_free_run_samples);
        add(&mut self.leases_reclaimed, other.leases_reclaimed);
        add(&mut self.buffers_leaked, other.buffers_leaked);
        self.boundary.add(&other.boundary);
    }
}

impl BoundaryCounts {
    /// Adds the counts of another bridge.
    pub(crate) fn add(&mut self, other: &Self) {
        add(&mut self.objects, other.objects);
        add(&mut self.bytes_allocated, other.bytes_allocated);
        add(&mut self.bytes_unpooled, other.bytes_unpooled);
    }
}

const SAMPLE_BYTES: usize = size_of::<f32>();

/// Adds a count to a saturating sum: counts of another memory, or from a file, may have any value.
fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

/// [`add`] for sizes.
fn add_size(sum: &mut usize, size: usize) {
    *sum = sum.saturating_add(size);
}

/// Bytes of so many buffers with so many samples, at most `usize::MAX`.
pub(crate) fn sample_bytes(samples: usize, buffers: u64) -> usize {
    usize::try_from(buffers)
        .unwrap_or(usize::MAX)
        .saturating_mul(samples)
        .saturating_mul(SAMPLE_BYTES)
}

impl PoolMetrics {
    /// Computes every figure from the pool's counts.
    ///
    /// # Examples
    /// ```
    /// use wavepool::prelude::*;
    ///
    /// let (control, half) = BufferPool::builder().class(256, 4).build()?;
    /// let _held = half.acquire(200)?;
    /// let metrics = PoolMetrics::from_counts(&control.counts());
    /// assert_eq!(metrics.leased, 1);
    /// # Ok::<(), PoolError>(())
    /// ```
    #[must_use]
    pub fn from_counts(counts: &PoolCounts) -> Self {
        let mut metrics = Self::default();
        metrics.refresh(counts);
        metrics
    }

    /// [`from_counts`](Self::from_counts) into an existing value, so that a periodic step does not allocate once `classes`
    /// has its capacity.
    ///
    /// # Examples
    /// ```
    /// use wavepool::prelude::*;
    ///
    /// let (control, half) = BufferPool::builder().class(256, 4).build()?;
    /// let _held = half.acquire(200)?;
    /// let mut metrics = PoolMetrics::default();
    /// metrics.refresh(&control.counts());
    /// assert_eq!(metrics.leased, 1);
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn refresh(&mut self, counts: &PoolCounts) {
        let sum = |field: fn(&ClassMetrics) -> u64| {
            let fields = counts.classes.iter().map(field);
            fields.fold(0, u64::saturating_add)
        };
        let bytes = |field: fn(&ClassMetrics) -> u64| {
            let classes = counts.classes.iter();
            let bytes = classes.map(|class| sample_bytes(class.samples, field(class)));
            bytes.fold(0, usize::saturating_add)
        };
        self.pool_hits = sum(|class| class.hits);
        self.borrowed = sum(|class| class.borrowed);
        self.created = sum(|class| class.created);
        self.exhausted = sum(|class| class.exhausted);
        self.pool_misses = sum(ClassMetrics::misses);
        self.total_allocations = self.pool_hits.saturating_add(self.pool_misses);
        self.hit_rate_percentage = percentage(self.pool_hits as f64, self.total_allocations as f64);
        self.leased = sum(|class| class.leased);
        self.bytes_leased = bytes(|class| class.leased);
        self.bytes_held = bytes(|class| class.carved);
        self.bytes_reserved = counts.bytes_reserved;
        self.bytes_limit = counts.bytes_limit;
        self.sample_bytes = counts
            .bytes_reserved
            .saturating_sub(counts.padding_bytes)
            .saturating_add(counts.bytes_shelved);
        self.memory_overhead_bytes = counts.overhead_bytes.saturating_add(counts.padding_bytes);
        self.memory_overhead_percentage =
            percentage(self.memory_overhead_bytes as f64, self.sample_bytes as f64);
        // An arena without memory has no byte in a short run.
        self.fragmentation_percentage = percentage(
            counts.short_run_samples as f64 * SAMPLE_BYTES as f64,
            counts.bytes_reserved as f64,
        )
        .unwrap_or(0.0);
        self.largest_free_run_samples = counts.largest_free_run_samples;
        let requested = sample_bytes(1, sum(|class| class.requested_samples));
        self.internal_waste_percentage = percentage(
            self.bytes_leased.saturating_sub(requested) as f64,
            self.bytes_leased as f64,
        );
        self.leases_reclaimed = counts.leases_reclaimed;
        self.buffers_leaked = counts.buffers_leaked;
        self.wasm_js_boundary_allocations = counts.boundary.objects;
        self.js_gc_pressure_reduction = percentage(
            counts.boundary.bytes_unpooled as f64 - counts.boundary.bytes_allocated as f64,
            counts.boundary.bytes_unpooled as f64,
        );
        self.classes.clear();
        self.classes.extend_from_slice(&counts.classes);
    }
}

/// `part / whole x 100`; `None` if `whole` is 0.
fn percentage(part: f64, whole: f64) -> Option<f32> {
    (whole > 0.0).then(|| (part / whole * 100.0) as f32)
}

#[cfg(test)]
#[path = "pool_metrics_tests.rs"]
mod tests;
