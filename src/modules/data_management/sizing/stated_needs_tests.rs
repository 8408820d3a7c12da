use super::*;
use std::collections::BTreeMap;

const WINDOW_MS: f64 = 100.0;
/// Steps of 10 ms with requests until every window has passed.
const AGE: u64 = 10 * WINDOWS as u64 + 1;

/// A model of one half, to which changes are applied at once.
struct Model {
    needs: StatedNeeds,
    own: Vec<OwnClass>,
    /// The classes of the pool.
    pool: Vec<usize>,
    /// The size of all requests.
    size: usize,
    requests: BTreeMap<usize, u32>,
    now_ms: f64,
}

impl OwnHalves for (&[OwnClass], &[usize], &BTreeMap<usize, u32>) {
    fn classes(&self) -> &[OwnClass] {
        self.0
    }

    fn requests(&self, _: u16) -> Vec<(usize, u32)> {
        self.2.iter().map(|(&size, &count)| (size, count)).collect()
    }

    fn class_for(&self, samples: usize) -> Option<usize> {
        self.1.iter().copied().find(|&class| class >= samples)
    }
}

fn class(samples: usize, carved: u64) -> OwnClass {
    OwnClass {
        half: 1,
        attachment: 1,
        class: ClassMetrics {
            samples,
            carved,
            ..ClassMetrics::default()
        },
    }
}

impl Model {
    fn new(stated: u64) -> Self {
        Self {
            needs: StatedNeeds::default(),
            own: vec![class(256, stated)],
            pool: vec![256],
            size: 200,
            // Of a former owner of the half.
            requests: BTreeMap::from([(240, 7)]),
            now_ms: 0.0,
        }
    }

    /// A step with so many buffers in use of the smallest class that has any; returns the number of its buffers after it.
    fn step(&mut self, in_use: u64, pressure: MemoryPressure) -> u64 {
        self.now_ms += 10.0;
        let size = self.size;
        self.own.sort_by_key(|own| {
            (
                own.class.carved == 0 || own.class.samples < size,
                own.class.samples,
            )
        });
        let class = &mut self.own[0].class;
        class.exhausted += in_use.saturating_sub(class.carved);
        class.leased = in_use.min(class.carved);
        class.recent_high_water = class.leased;
        class.hits += u64::from(in_use > 0);
        *self.requests.entry(size).or_default() += u32::from(in_use > 0);
        for other in &mut self.own[1..] {
            other.class.leased = 0;
            other.class.recent_high_water = 0;
        }
        let halves = (&self.own[..], &self.pool[..], &self.requests);
        let steps = self
            .needs
            .step(self.now_ms, WINDOW_MS, &halves, pressure, 64);
        for planned in steps {
            assert_eq!(planned.half, Some(1));
            match planned.step {
                SizingStep::Grow {
                    class_samples,
                    buffers,
                } => self.class(class_samples).carved += u64::from(buffers),
                SizingStep::Shrink {
                    class_samples,
                    buffers,
                } => self.class(class_samples).carved -= u64::from(buffers),
                SizingStep::SetClasses { .. } => panic!("a half does not change the classes"),
            }
        }
        self.own[0].class.carved
    }

    fn class(&mut self, samples: usize) -> &mut ClassMetrics {
        if self.own.iter().all(|own| own.class.samples != samples) {
            self.own.push(class(samples, 0));
        }
        let mut own = self.own.iter_mut();
        &mut own.find(|own| own.class.samples == samples).unwrap().class
    }

    fn steps(&mut self, count: u64, in_use: u64) -> u64 {
        let steps = (0..count).map(|_| self.step(in_use, MemoryPressure::None));
        steps.last().unwrap()
    }
}

#[test]
fn stated_need_is_kept_until_every_window_has_passed() {
    let mut model = Model::new(30);
    assert_eq!(model.steps(AGE - 1, 6), 30);
    assert_eq!(model.steps(2, 6), 8);
}

#[test]
fn stated_need_does_not_age_without_requests() {
    let mut model = Model::new(30);
    assert_eq!(model.steps(AGE / 2, 6), 30);
    assert_eq!(model.steps(10 * AGE, 0), 30);
}

#[test]
fn rising_use_gets_spare_buffers_up_to_the_stated_need() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    for in_use in 7..=30 {
        let carved = model.steps(1, in_use);
        assert!(carved > in_use || carved == 30, "{carved} for {in_use}");
    }
    assert_eq!(model.own[0].class.exhausted, 0);
    assert_eq!(model.steps(2 * AGE, 6), 8);
}

#[test]
fn refused_half_gets_its_stated_need_back_and_no_more() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    assert_eq!(model.steps(1, 12), 30);
    assert_eq!(model.steps(AGE, 40), 30);
}

#[test]
fn memory_pressure_takes_spare_buffers_at_once() {
    let mut model = Model::new(30);
    assert_eq!(model.steps(3, 6), 30);
    assert_eq!(model.step(2, MemoryPressure::Moderate), 7);
    assert_eq!(model.step(2, MemoryPressure::Critical), 3);
}

#[test]
fn new_owner_of_a_half_states_its_own_need() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    model.own[0].attachment = 2;
    model.own[0].class.carved = 20;
    assert_eq!(model.steps(AGE - 1, 2), 20);
    assert_eq!(model.needs.halves.len(), 1);
}

#[test]
fn retired_class_is_left_to_drain() {
    let mut model = Model::new(30);
    model.own[0].class.retired = true;
    assert_eq!(model.steps(2 * AGE, 1), 30);
}

#[test]
fn half_with_one_size_moves_to_a_class_that_fits_better() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    model.pool = vec![208, 256];
    model.steps(AGE, 6);
    assert_eq!((model.class(208).carved, model.class(256).carved), (8, 0));
    // The stated need still holds.
    assert_eq!(model.steps(1, 9), 30);
    model.class(208).exhausted = 0;
    assert_eq!(model.steps(2 * AGE, 6), 8);
    assert_eq!(model.class(208).exhausted + model.class(256).exhausted, 0);
    // Another size finds its class again, after one refusal.
    model.size = 240;
    model.class(256).exhausted += 1;
    model.steps(1, 0);
    assert_eq!(model.class(256).carved, 30);
}

#[test]
fn half_with_several_sizes_of_a_class_does_not_move() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    model.size = 220;
    model.steps(1, 6);
    model.size = 200;
    model.pool = vec![208, 256];
    model.steps(AGE, 6);
    assert_eq!(model.class(256).carved, 8);
}

#[test]
fn half_returns_to_its_class_when_the_better_one_retires() {
    let mut model = Model::new(30);
    model.steps(2 * AGE, 6);
    model.pool = vec![208, 256];
    model.steps(AGE, 6);
    model.pool = vec![256];
    // As the pool does it: as many buffers of the class that serves the requests from now on.
    (model.class(208).retired, model.class(208).carved) = (true, 0);
    model.class(256).carved = 8;
    model.steps(2 * AGE, 6);
    assert_eq!(model.class(256).carved, 8);
}
