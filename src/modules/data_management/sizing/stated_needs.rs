//! The sizes of halves with a stated need.
//!
//! A stream, an analyser, an engine or a participant states how many buffers it can use at a time when it is opened, and its half
//! begins with them, so that it never finds a class empty. The stated number covers the worst case, for example a reader that
//! stalls for as long as the queue lasts. Once every window of demand has passed, the half keeps what it used at a time and some
//! spare buffers; when its use rises, it gets more. A half that was refused a buffer gets the stated number back. It never gets more
//! than that: a reader that keeps all its windows is refused further ones. A half that requests one size only moves to a class that
//! fits that size better, once the pool has learned one.
//! See `docs/decisions/0019-halves-with-a-mix-of-their-own-are-sized-one-by-one.md`.

use super::histograms::WINDOWS;
use super::sizing_plan::{MemoryPressure, PlannedStep, Reason, SizingStep};
use crate::modules::data_management::metrics::pool_metrics::{ClassMetrics, sample_bytes};
use wavepool_core::internal::OwnClass;

/// Spare buffers beside those that were in use at a time: one for each three, at least one. The capture of a tuner uses five or
/// six windows, so that its reader may be late by one or two more before the half has to grow.
const SPARE: (u64, u64) = (1, 3);
/// The most spare buffers that are kept: small changes of use move nothing, and the pool holds at most half of the use more.
const MOST_SPARE: (u64, u64) = (2, 5);
/// Longer pauses between requests count as this long: a half without requests forgets nothing.
const MAX_PAUSE_MS: f64 = 250.0;

/// The needs of the halves that are attached now.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatedNeeds {
    halves: Vec<HalfNeed>,
}

/// The need of one half.
#[derive(Debug, Clone)]
struct HalfNeed {
    half: u16,
    attachment: u32,
    classes: Vec<ClassNeed>,
    acquires: u64,
    /// The requests by size when the half was attached.
    requests_before: Vec<(usize, u32)>,
    last_ms: f64,
    pause_ms: f64,
    /// The time with requests in the current window, and the number of complete windows.
    active_ms: f64,
    windows: usize,
}

/// The need of one class of a half.
#[derive(Debug, Clone)]
struct ClassNeed {
    samples: usize,
    /// The most buffers that it gets.
    stated: u64,
    /// The most buffers in use at a time in each window.
    peaks: [u64; WINDOWS],
    exhausted: u64,
    /// The class that fits the requests better.
    moves_to: Option<usize>,
    /// Whether that class has buffers: this one needs none then.
    has_moved: bool,
}

/// What a control step shows of the halves with a stated need.
pub(crate) trait OwnHalves {
    /// Their classes.
    fn classes(&self) -> &[OwnClass];
    /// The requests of a half so far, by size.
    fn requests(&self, half: u16) -> Vec<(usize, u32)>;
    /// The smallest class of the pool for so many samples.
    fn class_for(&self, samples: usize) -> Option<usize>;
}

impl StatedNeeds {
    /// Observes the halves; returns the changes to make.
    ///
    /// # Real-time
    /// For the control side. Bounded by the number of halves and classes; at most `most_buffers` are carved, and as many returned.
    pub(crate) fn step(
        &mut self,
        now_ms: f64,
        window_ms: f64,
        halves: &impl OwnHalves,
        pressure: MemoryPressure,
        most_buffers: u32,
    ) -> Vec<PlannedStep> {
        let classes = halves.classes();
        self.halves.retain(|need| {
            let mut of_half = classes.iter().map(|own| (own.half, own.attachment));
            of_half.any(|own| own == (need.half, need.attachment))
        });
        for own in classes {
            if self.halves.iter().all(|need| need.half != own.half) {
                let requests = halves.requests(own.half);
                self.halves.push(HalfNeed::new(own, now_ms, requests));
            }
        }
        let mut steps = Vec::new();
        let (mut left_to_grow, mut left_to_shrink) = (most_buffers, most_buffers);
        for need in &mut self.halves {
            let own = classes.iter().filter(|own| own.half == need.half);
            let own: Vec<&ClassMetrics> = own.map(|own| &own.class).collect();
            if need.age(now_ms, window_ms, &own) {
                need.find_moves(&own, halves);
            }
            for (samples, change) in need.changes(&own, pressure) {
                let left = match change {
                    0.. => &mut left_to_grow,
                    _ => &mut left_to_shrink,
                };
                let buffers = u32::try_from(change.unsigned_abs()).unwrap_or(u32::MAX);
                let buffers = buffers.min(*left);
                if buffers > 0 {
                    *left -= buffers;
                    steps.push(planned(need.half, samples, change > 0, buffers, pressure));
                }
            }
        }
        // What is returned can be carved again in the same step.
        steps.sort_by_key(|planned| planned.bytes_held_change > 0);
        steps
    }
}

impl HalfNeed {
    fn new(own: &OwnClass, now_ms: f64, requests_before: Vec<(usize, u32)>) -> Self {
        Self {
            half: own.half,
            attachment: own.attachment,
            classes: Vec::new(),
            acquires: 0,
            requests_before,
            last_ms: now_ms,
            pause_ms: 0.0,
            active_ms: 0.0,
            windows: 0,
        }
    }

    /// Advances the windows by the time with requests; returns whether a new one began.
    fn age(&mut self, now_ms: f64, window_ms: f64, own: &[&ClassMetrics]) -> bool {
        let acquires = own.iter().map(|class| class.acquires()).sum();
        self.pause_ms += now_ms - std::mem::replace(&mut self.last_ms, now_ms);
        if std::mem::replace(&mut self.acquires, acquires) != acquires {
            self.active_ms += std::mem::take(&mut self.pause_ms).min(MAX_PAUSE_MS);
        }
        let ends = self.active_ms >= window_ms;
        if ends {
            self.active_ms = 0.0;
            self.windows += 1;
            for class in &mut self.classes {
                class.peaks[self.windows % WINDOWS] = 0;
            }
        }
        ends
    }

    /// Finds the classes of which only one size was requested since the half was attached, and which the pool has a smaller class
    /// for.
    fn find_moves(&mut self, own: &[&ClassMetrics], halves: &impl OwnHalves) {
        let requests = halves.requests(self.half);
        for need in &mut self.classes {
            if need.has_moved {
                continue;
            }
            let smaller = own
                .iter()
                .filter(|class| class.samples < need.samples && has_buffers(own, class.samples));
            let below = smaller.map(|class| class.samples).max().unwrap_or(0);
            let mut requested = requests.iter().filter(|&&(size, count)| {
                let before = self.requests_before.iter().find(|before| before.0 == size);
                (below..need.samples).contains(&(size - 1))
                    && before.is_none_or(|before| before.1 != count)
            });
            let only_size = requested.next().filter(|_| requested.next().is_none());
            need.moves_to = only_size
                .and_then(|&(size, _)| halves.class_for(size))
                .filter(|&class| class < need.samples);
        }
    }

    /// Observes the classes; returns how many buffers each should have more, or fewer.
    fn changes(&mut self, own: &[&ClassMetrics], pressure: MemoryPressure) -> Vec<(usize, i64)> {
        // A class that comes later serves requests that another one served, and may get as many buffers.
        let inherited = self.classes.iter().map(|need| need.stated).max();
        self.classes
            .retain(|need| own.iter().any(|class| class.samples == need.samples));
        let mut changes = Vec::new();
        for class in own.iter().filter(|class| !class.retired) {
            let retained = class.carved.saturating_sub(class.draining);
            let mut needs = self.classes.iter();
            let index = needs.position(|need| need.samples == class.samples);
            let index = index.unwrap_or_else(|| {
                self.classes.push(ClassNeed {
                    samples: class.samples,
                    stated: inherited.unwrap_or(retained),
                    peaks: [0; WINDOWS],
                    exhausted: 0,
                    moves_to: None,
                    has_moved: false,
                });
                self.classes.len() - 1
            });
            let (target, most) = self.target(index, class, pressure);
            let need = &mut self.classes[index];
            let moved = std::mem::replace(
                &mut need.has_moved,
                need.moves_to.is_some_and(|class| has_buffers(own, class)),
            );
            if moved && !need.has_moved {
                // The other class has retired.
                need.moves_to = None;
            }
            let (target, most) = match need.moves_to {
                Some(_) if need.has_moved => (0, 0),
                Some(samples) => {
                    changes.push((samples, signed(target)));
                    continue;
                }
                None => (target, most),
            };
            if target > retained || retained > most {
                changes.push((class.samples, signed(target) - signed(retained)));
            }
        }
        changes
    }

    /// The number of buffers that a class should have, and the most that it keeps.
    fn target(
        &mut self,
        index: usize,
        class: &ClassMetrics,
        pressure: MemoryPressure,
    ) -> (u64, u64) {
        let need = &mut self.classes[index];
        let in_use = class.recent_high_water.max(class.leased);
        let current = &mut need.peaks[self.windows % WINDOWS];
        *current = in_use.max(*current);
        let peak = need.peaks.into_iter().max().unwrap_or(0);
        let with_spare = |(part, of): (u64, u64)| peak + (peak * part / of).max(1);
        let exhausted = std::mem::replace(&mut need.exhausted, class.exhausted);
        if class.exhausted > exhausted {
            (need.moves_to, need.has_moved) = (None, false);
            self.windows = 0;
        }
        let (target, most) = match pressure {
            MemoryPressure::None if self.windows >= WINDOWS => {
                (with_spare(SPARE), with_spare(MOST_SPARE))
            }
            MemoryPressure::None => (need.stated, need.stated),
            MemoryPressure::Moderate => (peak + 1, peak + 1),
            MemoryPressure::Critical => (in_use + 1, in_use + 1),
        };
        (target.min(need.stated), most.min(need.stated))
    }
}

fn has_buffers(own: &[&ClassMetrics], samples: usize) -> bool {
    let mut classes = own.iter();
    classes.any(|class| class.samples == samples && class.carved > 0 && !class.retired)
}

fn signed(buffers: u64) -> i64 {
    i64::try_from(buffers).unwrap_or(i64::MAX)
}

fn planned(
    half: u16,
    class_samples: usize,
    grows: bool,
    buffers: u32,
    pressure: MemoryPressure,
) -> PlannedStep {
    let bytes = sample_bytes(class_samples, buffers.into());
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let (step, reason, bytes_held_change) = if grows {
        let grow = SizingStep::Grow {
            class_samples,
            buffers,
        };
        (grow, Reason::DemandRises, bytes)
    } else {
        let shrink = SizingStep::Shrink {
            class_samples,
            buffers,
        };
        let reason = match pressure {
            MemoryPressure::None => Reason::HeldAbovePeak,
            _ => Reason::MemoryPressure,
        };
        (shrink, reason, -bytes)
    };
    PlannedStep {
        step,
        half: Some(half),
        reason,
        bytes_held_change,
    }
}

#[cfg(test)]
#[path = "stated_needs_tests.rs"]
mod tests;
