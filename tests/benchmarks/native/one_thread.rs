//! Acquire, touch, release on one thread: `scratch`, `acquire`, `zeroed`.

use std::hint::black_box;

use super::allocators::{Allocated, Malloc, MallocZeroed, MiMalloc, MiMallocZeroed};
use super::clock::thread_cpu_time;
use super::ours::{OursOwned, OursScratch, OursSilent};
use super::rivals::{
    CLASSES, Floor, Heapless, Linear, Mutexed, Nothing, ObjectPool, Opool, OpoolLocal, Pool,
    Queued, Samples, ShardedSlab, Spin,
};
use super::rows::Row;

/// Buffers in one timed batch.
const BATCH: usize = 20_000;
/// Batches of each contender and size; the median counts.
const ROUNDS: usize = 25;

/// What a batch asks for, again and again.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// One class.
    One { class: usize },
    /// Classes and odd sizes in turn.
    Mixed,
}

/// Classes and sizes of the mixed work.
const MIX: [(usize, usize); 8] = [
    (0, 256),
    (2, 1000),
    (1, 480),
    (4, 4096),
    (0, 128),
    (3, 1764),
    (2, 1024),
    (1, 512),
];

impl Work {
    fn all() -> impl Iterator<Item = (Self, String)> {
        let one = |class| (Self::One { class }, CLASSES[class].to_string());
        (0..CLASSES.len())
            .map(one)
            .chain([(Self::Mixed, "mixed".into())])
    }
}

/// Writes, lets the compiler believe that anybody may have looked, reads.
#[inline(always)]
pub(crate) fn touch(samples: &mut [f32], sample: f32) -> f32 {
    samples[0] = sample;
    black_box(samples)[0]
}

/// What a batch writes, in turn: small, so that sums stay exact.
#[inline(always)]
pub(crate) fn sample(i: usize) -> f32 {
    (i & 15) as f32
}

/// What the read samples of a batch must add up to.
pub(crate) fn expected(batch: usize) -> f32 {
    (0..batch).map(sample).sum()
}

/// Once around: acquire, touch, give back.
#[inline(always)]
fn once<P: Pool>(pool: &P, class: usize, samples: usize, i: usize) -> f32 {
    let mut buffer = pool.acquire(class, samples);
    let read = touch(buffer.samples(), sample(i));
    pool.release(buffer);
    read
}

/// The measured loop; what it read, added up.
#[inline(never)]
pub(crate) fn batch<P: Pool>(pool: &P, work: Work, count: usize) -> f32 {
    let mut sum = 0.0;
    match work {
        Work::One { class } => {
            // The class is chosen once, as a caller with one block size would; the size is looked at each time.
            let sizes = black_box([CLASSES[class]; 8]);
            for i in 0..count {
                sum += once(pool, class, sizes[i & 7], i);
            }
        }
        Work::Mixed => {
            let mix = black_box(MIX);
            for i in 0..count {
                let (class, samples) = mix[i & 7];
                sum += once(pool, class, samples, i);
            }
        }
    }
    sum
}

/// Whether a pool gives what was asked for, and each buffer to one holder only.
pub(crate) fn check<P: Pool>(pool: &P) {
    for (class, samples) in MIX {
        let mut first = pool.acquire(class, samples);
        let mut second = pool.acquire(class, samples);
        first.samples()[..samples].fill(1.0);
        second.samples()[..samples].fill(2.0);
        assert!(first.samples()[..samples].iter().all(|&s| s == 1.0));
        pool.release(second);
        pool.release(first);
    }
}

/// Somebody to be measured, one batch of a work at a time.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Answers what it read: see [`expected`].
    pub(crate) batch: Box<dyn FnMut(Work, usize) -> f32>,
}

pub(crate) fn contender<P: Pool>() -> Contender {
    let mut pool = P::new();
    check(&pool);
    let batch = move |work, count| {
        pool.rest();
        batch(&pool, work, count)
    };
    Contender {
        name: P::NAME,
        batch: Box::new(batch),
    }
}

/// Ours first, then everybody it is measured against.
pub(crate) fn contenders(bench: &str) -> Vec<Contender> {
    match bench {
        "scratch" => [
            contender::<OursScratch>(),
            contender::<Nothing>(),
            contender::<Floor>(),
            contender::<OpoolLocal>(),
        ]
        .into_iter()
        .chain(thread_safe())
        .collect(),
        "acquire" => [
            contender::<OursOwned>(),
            contender::<Nothing>(),
            contender::<Floor>(),
        ]
        .into_iter()
        .chain(thread_safe())
        .collect(),
        _ => vec![
            contender::<OursSilent>(),
            contender::<Allocated<MallocZeroed>>(),
            contender::<Allocated<MiMallocZeroed>>(),
        ],
    }
}

fn thread_safe() -> [Contender; 11] {
    [
        contender::<Opool>(),
        contender::<ObjectPool>(),
        contender::<Linear>(),
        contender::<Spin>(),
        contender::<Mutexed>(),
        contender::<Queued<crossbeam_queue::ArrayQueue<Vec<f32>>>>(),
        contender::<Queued<crossbeam_queue::SegQueue<Vec<f32>>>>(),
        contender::<Heapless>(),
        contender::<ShardedSlab>(),
        contender::<Allocated<Malloc>>(),
        contender::<Allocated<MiMalloc>>(),
    ]
}

/// All sizes, every contender in turn within each round. The row without a size is the rival's best size against us.
pub(crate) fn measure(bench: &'static str) -> Vec<Row> {
    let mut contenders = contenders(bench);
    let mut rows: Vec<Row> = Vec::new();
    let rivals = contenders.len() - 1;
    for (work, size) in Work::all() {
        let mut took = vec![Vec::with_capacity(ROUNDS); contenders.len()];
        for _ in 0..ROUNDS {
            for (contender, took) in contenders.iter_mut().zip(&mut took) {
                let start = thread_cpu_time();
                let read = (contender.batch)(work, BATCH);
                let spent = thread_cpu_time() - start;
                assert_eq!(read, expected(BATCH), "{}", contender.name);
                took.push(spent.as_secs_f64() * 1e9 / BATCH as f64);
            }
        }
        let medians: Vec<f64> = took.into_iter().map(|took| quantile(took, 0.5)).collect();
        for (rival, &theirs) in contenders.iter().zip(&medians).skip(1) {
            let case = format!("{} {size}", rival.name);
            rows.push(Row::against(bench, case, "ns", medians[0], theirs));
        }
    }
    let closest = |rival: usize| {
        let of_rival = rows.iter().skip(rival).step_by(rivals);
        let row = of_rival.min_by(|a, b| a.ratio.partial_cmp(&b.ratio).expect("a number"))?;
        Some(Row {
            case: contenders[rival + 1].name.into(),
            ..*row
        })
    };
    let closest: Vec<Row> = (0..rivals).filter_map(closest).collect();
    closest.into_iter().chain(rows).collect()
}

/// The figure below which this share of them lies.
pub(crate) fn quantile(mut figures: Vec<f64>, share: f64) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[(figures.len() as f64 * share) as usize]
}
