//! The pool's statistics for the `metrics` facade: every exporter that the host has installed exports them.

use metrics::{SharedString, Unit as FacadeUnit, counter, gauge};

use super::pool_metrics::{ClassMetrics, Kind, PoolMetrics, Statistic, Statistics, Unit};

/// Passes snapshots to the facade. Names, units and descriptions are those of the statistics' declarations.
///
/// Every name begins with `wavepool_`; a statistic of one class with `wavepool_class_`, with the capacity of the class as the
/// label `samples`. A figure that was not measured is NaN.
///
/// # Examples
/// ```
/// use wavepool::modules::data_management::{BufferPool, MetricsFacade, PoolFigures};
///
/// let (control, _audio) = BufferPool::builder().class(512, 8).build()?;
/// let mut facade = MetricsFacade::describe();
/// facade.record(&control.metrics());
/// # Ok::<(), wavepool::modules::data_management::PoolError>(())
/// ```
#[derive(Debug)]
pub struct MetricsFacade {
    /// Capacities reported so far: what a class had must not stand there when the class is gone.
    classes: Vec<usize>,
}

impl MetricsFacade {
    /// Describes each statistic to the installed recorder. Call it once, after the recorder was installed.
    #[must_use]
    pub fn describe() -> Self {
        for (prefix, statistics) in [
            (POOL, PoolMetrics::STATISTICS),
            (CLASS, ClassMetrics::STATISTICS),
        ] {
            for statistic in statistics.iter().filter(|one| is_number(one)) {
                let (name, unit) = (name(prefix, statistic), unit(statistic));
                let meaning = format!("{}: {}.", statistic.meaning, statistic.formula);
                match statistic.kind {
                    Kind::Total => metrics::describe_counter!(name, unit, meaning),
                    Kind::Level => metrics::describe_gauge!(name, unit, meaning),
                }
            }
        }
        Self {
            classes: Vec::new(),
        }
    }

    /// Passes a snapshot to the installed recorder; without one, nothing happens.
    ///
    /// # Real-time
    /// For the control side: the recorder may allocate or block, and names are allocated each time. Once a second is enough.
    pub fn record(&mut self, metrics: &PoolMetrics) {
        for (statistic, value) in metrics.figures().filter(|(one, _)| is_number(one)) {
            let name = name(POOL, statistic);
            match statistic.kind {
                Kind::Total => counter!(name).absolute(value.unwrap_or(0.0) as u64),
                Kind::Level => gauge!(name).set(value.unwrap_or(f64::NAN)),
            }
        }
        for class in &metrics.classes {
            self.record_class(class);
        }
        let gone = |samples: &usize| {
            metrics
                .classes
                .iter()
                .all(|class| class.samples != *samples)
        };
        for samples in self
            .classes
            .extract_if(.., |samples| gone(samples))
            .collect::<Vec<_>>()
        {
            record_levels(&ClassMetrics {
                samples,
                retired: true,
                ..Default::default()
            });
        }
    }

    fn record_class(&mut self, class: &ClassMetrics) {
        if !self.classes.contains(&class.samples) {
            self.classes.push(class.samples);
        }
        let label = class.samples.to_string();
        for (statistic, value) in class.figures().filter(|(one, _)| one.kind == Kind::Total) {
            let total = value.unwrap_or(0.0) as u64;
            counter!(name(CLASS, statistic), "samples" => label.clone()).absolute(total);
        }
        record_levels(class);
    }
}

const POOL: &str = "wavepool_";
const CLASS: &str = "wavepool_class_";

fn record_levels(class: &ClassMetrics) {
    let label = class.samples.to_string();
    for (statistic, value) in class.figures().filter(|(one, _)| one.kind == Kind::Level) {
        gauge!(name(CLASS, statistic), "samples" => label.clone()).set(value.unwrap_or(f64::NAN));
    }
}

fn name(prefix: &'static str, statistic: &Statistic) -> SharedString {
    format!("{prefix}{}", statistic.name).into()
}

fn is_number(statistic: &Statistic) -> bool {
    statistic.unit != Unit::Records
}

fn unit(statistic: &Statistic) -> FacadeUnit {
    match statistic.unit {
        Unit::Bytes => FacadeUnit::Bytes,
        Unit::Percent => FacadeUnit::Percent,
        _ => FacadeUnit::Count,
    }
}
