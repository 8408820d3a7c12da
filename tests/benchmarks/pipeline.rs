//! What a quantum costs on pooled buffers, and on a twin that allocates what it needs as it goes: time and allocations.
//!
//! The pooled side is the product: an engine with a processor that takes scratch, a capture that cuts its output into
//! windows, and `AudioBufferManagerImpl`. The twins do the same arithmetic, copies and bookkeeping on `Vec`s, and tell and count
//! nothing, so that what they save is in their favour.
//!
//! Windows are read, and let go of, where a stream's are: on another thread, which looks every so often, one and the same for
//! both sides. A quantum begins when what was queued before has been read, as it has after the 2.67 ms of a real one. The
//! rows `one thread …` are the same quanta with a reader that comes after each of them on its own thread, and is timed with
//! it: there the allocator hands out what was freed a moment ago on the same thread.
#![allow(unsafe_code)] // An allocator that counts implements an unsafe trait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{AudioFoundationsModule, StreamConfig};
use wavepool::modules::data_management::{
    AudioBufferManagerImpl, AudioFormat, DataManagementModule,
};
use wavepool::registry::ModuleRegistry;

use crate::Row;
use crate::pipeline_sides::{
    BLOCK, Direct, DirectBlocks, DirectBuffer, HOP, Pooled, PooledBlocks, QUANTUM, RATE_HZ, Reader,
    Side, WINDOW, Widen,
};
use crate::processors::stay_on;

/// The two sides take turns, short ones, so that both have the same share of the moments in which the machine is slow.
const TURNS: usize = 800;
const QUANTA_PER_TURN: usize = 250;
/// Of each turn, not timed: the other side has just had the caches.
const WARM_UP: usize = 20;
/// How often the reader on another thread looks, as a worker of a page does.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// A reader that takes longer is not there any more.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What the quanta of one side took.
struct Taken {
    ns: Vec<u64>,
    allocations: u64,
}

impl Taken {
    fn new() -> Self {
        Self {
            ns: Vec::with_capacity(TURNS * QUANTA_PER_TURN),
            allocations: 0,
        }
    }

    fn turn(
        &mut self,
        side: &mut dyn Side,
        turn: usize,
        read: Option<&AtomicU64>,
    ) -> Result<(), Box<dyn Error>> {
        for n in 0..QUANTA_PER_TURN {
            let quantum = turn * QUANTA_PER_TURN + n;
            let tone = |channel: usize| -> [f32; QUANTUM] {
                core::array::from_fn(|i| ((quantum * QUANTUM + i) * (channel + 1)) as f32 * 1e-7)
            };
            let [left, right] = [tone(0), tone(1)];
            let input = black_box([&left[..], &right[..]]);
            let before = ALLOCATIONS.get();
            let start = Instant::now();
            side.quantum(input, (quantum * QUANTUM) as u64);
            let ns = start.elapsed().as_nanos() as u64;
            self.allocations += ALLOCATIONS.get() - before;
            if n >= WARM_UP {
                self.ns.push(ns);
            }
            if let Some(read) = read {
                wait_for(read, side.queued()[0])?;
            }
        }
        Ok(())
    }

    /// The median and the p99.9 of all quanta, in microseconds.
    fn figures(&mut self) -> [(&'static str, f64); 2] {
        self.ns.sort_unstable();
        [("median", 0.5), ("p99.9", 0.999)].map(|(name, quantile)| {
            let index = (self.ns.len() as f64 * quantile).ceil() as usize - 1;
            (name, self.ns[index] as f64 / 1e3)
        })
    }
}

fn wait_for(read: &AtomicU64, queued: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    // Acquire: pairs with the reader's release: it has let go of the window.
    while read.load(Ordering::Acquire) < queued {
        if begun.elapsed() > PATIENCE {
            return Err("the reader does not read".into());
        }
        core::hint::spin_loop();
    }
    Ok(())
}

/// Both sides' readers on one other thread, and on another processor where there is one, until it is told to stop; what
/// each has heard.
fn read_elsewhere(
    readers: &mut [Box<dyn Reader>; 2],
    read: &[AtomicU64; 2],
    stop: &AtomicBool,
) -> [f64; 2] {
    stay_on(1);
    let mut heard = [0.0; 2];
    // Relaxed: only when to stop; all was read before.
    while !stop.load(Ordering::Relaxed) {
        for ((reader, read), heard) in readers.iter_mut().zip(read).zip(&mut heard) {
            while let Some(window) = reader.read(true) {
                *heard += window;
                // Release: pairs with the acquire in `wait_for`.
                read.fetch_add(1, Ordering::Release);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
    heard
}

fn compare(
    rows: &mut Vec<Row>,
    prefix: &str,
    mut sides: [&mut dyn Side; 2],
    readers: Option<[Box<dyn Reader>; 2]>,
) -> Result<(), Box<dyn Error>> {
    let quanta = TURNS * QUANTA_PER_TURN;
    let mut taken = [Taken::new(), Taken::new()];
    let (read, stop) = ([const { AtomicU64::new(0) }; 2], AtomicBool::new(false));
    let mut turns = |elsewhere: bool| -> Result<(), Box<dyn Error>> {
        for turn in 0..TURNS {
            for ((taken, side), read) in taken.iter_mut().zip(&mut sides).zip(&read) {
                taken.turn(&mut **side, turn, elsewhere.then_some(read))?;
            }
        }
        Ok(())
    };
    let elsewhere = match readers {
        None => turns(false).map(|()| [0.0; 2])?,
        Some(mut readers) => thread::scope(|scope| {
            let thread = scope.spawn(|| read_elsewhere(&mut readers, &read, &stop));
            let done = turns(true);
            stop.store(true, Ordering::Relaxed);
            let heard = thread.join().map_err(|_| "the reader panicked")?;
            done.map(|()| heard)
        })?,
    };
    let [ours, twin] = [0, 1].map(|n| sides[n].heard() + elsewhere[n]);
    if ours == 0.0 || (ours - twin).abs() > 1e-6 * ours.abs() {
        return Err(format!("{prefix}pooled heard {ours}, direct {twin}").into());
    }
    let [queued, twins] = [0, 1].map(|n| sides[n].queued());
    if queued != twins || queued[1] > 0 {
        return Err(
            format!("{prefix}pooled queued and skipped {queued:?}, direct {twins:?}").into(),
        );
    }
    let [mut ours, mut twin] = taken;
    let each = |side: &Taken| side.allocations as f64 / quanta as f64;
    let mut row = |name: &str, unit, ours, twin| {
        let case = format!("{prefix}{name}");
        rows.push(Row::new("pipeline", case, ours, unit, Some(twin)));
    };
    for ((name, ours), (_, twin)) in ours.figures().into_iter().zip(twin.figures()) {
        row(name, "us", ours, twin);
    }
    row("allocations", "per quantum", each(&ours), each(&twin));
    Ok(())
}

/// Both pipelines, and the readers of their windows.
fn pipelines(
    audio: &mut AudioFoundationsModule,
    data: &mut DataManagementModule,
) -> Result<(Pooled, Direct), Box<dyn Error>> {
    let config = StreamConfig {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        window: WINDOW,
        hop: HOP,
    };
    let (capture, windows) = audio.open_windows(data, config)?;
    let pooled = Pooled {
        engine: audio.open_engine(data, RATE_HZ, 2, vec![Box::new(Widen)])?,
        capture,
        windows: Some(windows),
        heard: 0.0,
    };
    Ok((pooled, Direct::new(2, vec![Box::new(Widen)])))
}

/// Adds the rows of this benchmark.
pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
    let (audio, data) = registry
        .get_two_mut::<AudioFoundationsModule, DataManagementModule>()
        .ok_or("the modules are not linked")?;
    stay_on(0);
    let (mut pooled, mut direct) = pipelines(audio, data)?;
    let readers: Option<[Box<dyn Reader>; 2]> = match (pooled.windows.take(), direct.windows.take())
    {
        (Some(windows), Some(twins)) => Some([Box::new(windows), Box::new(twins)]),
        _ => None,
    };
    compare(rows, "", [&mut pooled, &mut direct], readers)?;
    drop((pooled, direct));
    let (mut pooled, mut direct) = pipelines(audio, data)?;
    compare(rows, "one thread ", [&mut pooled, &mut direct], None)?;

    let mut buffers = AudioBufferManagerImpl::new(data.attach_realtime()?);
    let format = AudioFormat {
        sample_rate_hz: RATE_HZ,
        channels: 2,
        frames: BLOCK,
    };
    buffers.create("mix", format)?;
    let mut pooled = PooledBlocks {
        buffers,
        heard: 0.0,
    };
    let mut direct = DirectBlocks::default();
    let buffer = DirectBuffer::new(format);
    direct.buffers.insert("mix".to_owned(), buffer);
    compare(rows, "audio buffers ", [&mut pooled, &mut direct], None)
}

/// Two steps of the clock, which goes on by ten nanoseconds or so: medians that are alike can lie one apart either way.
const CLOCK_NOISE_US: f64 = 0.021;

/// What did not come out as it must. The rows `one thread …` are for comparison: no product reads there.
pub(crate) fn missed(rows: &[Row]) -> Vec<String> {
    let missed = |row: &&Row| {
        let twin = row.baseline.unwrap_or(0.0);
        if row.case.ends_with("allocations") {
            row.value > 0.0 || twin == 0.0
        } else if row.case.starts_with("one thread") {
            false
        } else if row.case.ends_with("median") {
            row.value > twin + CLOCK_NOISE_US
        } else {
            row.value > twin
        }
    };
    (rows.iter().filter(|row| row.bench == "pipeline"))
        .filter(missed)
        .map(|row| {
            format!(
                "pipeline {}: {:.3} {}, direct {:.3}",
                row.case,
                row.value,
                row.unit,
                row.baseline.unwrap_or(0.0)
            )
        })
        .collect()
}
