//! Other pools behind the face that ours has too. Each is used the way its own documentation shows, filled beforehand, with
//! one pool per size class and the class chosen for it.
#![allow(unsafe_code)] // The floor is a stack without any check, and nothing has no owners.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};

/// The sizes measured; the pools' classes.
pub(crate) const CLASSES: [usize; 5] = [256, 512, 1024, 2048, 4096];
/// Buffers per class: more than any benchmark has in flight.
pub(crate) const BUFFERS: usize = 256;

/// What a guard leads to.
pub(crate) trait Samples {
    fn samples(&mut self) -> &mut [f32];
}

impl Samples for [f32] {
    #[inline(always)]
    fn samples(&mut self) -> &mut [f32] {
        self
    }
}

impl Samples for Vec<f32> {
    #[inline(always)]
    fn samples(&mut self) -> &mut [f32] {
        self
    }
}

/// A pool, as the thread sees it that acquires.
pub(crate) trait Pool: Sized + 'static {
    const NAME: &'static str;

    type Buffer<'pool>: DerefMut<Target: Samples>;

    fn new() -> Self;

    /// `class` is the place of the smallest class that holds `samples`.
    fn acquire(&self, class: usize, samples: usize) -> Self::Buffer<'_>;

    /// On the thread that acquired it.
    #[inline(always)]
    fn release(&self, buffer: Self::Buffer<'_>) {
        drop(buffer);
    }

    /// Between two batches.
    fn rest(&mut self) {}
}

/// One pool per class.
fn per_class<T>(make: impl Fn(usize) -> T) -> [T; CLASSES.len()] {
    CLASSES.map(make)
}

fn vectors(samples: usize) -> impl Iterator<Item = Vec<f32>> {
    (0..BUFFERS).map(move |_| vec![0.0; samples])
}

/// No pool: its buffers in turn, and nobody asks who still holds one. What the benchmark itself takes.
pub(crate) struct Nothing {
    /// Where they begin; they are never freed.
    starts: [Vec<*mut f32>; CLASSES.len()],
    turn: Cell<usize>,
}

/// One of its buffers.
pub(crate) struct Lying {
    start: *mut f32,
    samples: usize,
}

// SAFETY: no benchmark has as many in flight as there are, so that each has one holder.
unsafe impl Send for Lying {}

impl Pool for Nothing {
    const NAME: &'static str = "nothing";
    type Buffer<'pool> = Lying;

    fn new() -> Self {
        Self {
            starts: per_class(|samples| {
                vectors(samples)
                    .map(|buffer| buffer.leak().as_mut_ptr())
                    .collect()
            }),
            turn: Cell::new(0),
        }
    }

    #[inline(always)]
    fn acquire(&self, class: usize, samples: usize) -> Lying {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % BUFFERS);
        Lying {
            start: self.starts[class][turn],
            samples,
        }
    }
}

impl Deref for Lying {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        // SAFETY: a buffer's start and no more than its length; one holder, as above.
        unsafe { std::slice::from_raw_parts(self.start, self.samples) }
    }
}

impl DerefMut for Lying {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.samples) }
    }
}

/// A plain `Vec` as a stack: what no pool can be below.
pub(crate) struct Floor(UnsafeCell<[Vec<Vec<f32>>; CLASSES.len()]>);

impl Pool for Floor {
    const NAME: &'static str = "floor";
    type Buffer<'pool> = Plain;

    fn new() -> Self {
        Self(UnsafeCell::new(per_class(|samples| {
            vectors(samples).collect()
        })))
    }

    #[inline(always)]
    fn acquire(&self, class: usize, _: usize) -> Plain {
        // SAFETY: `UnsafeCell` keeps the type on one thread, and no reference into it leaves these two functions.
        let stacks = unsafe { &mut *self.0.get() };
        Plain {
            samples: stacks[class].pop().expect("idle buffer"),
            class,
        }
    }

    #[inline(always)]
    fn release(&self, buffer: Plain) {
        // SAFETY: as above.
        let stacks = unsafe { &mut *self.0.get() };
        stacks[buffer.class].push(buffer.samples);
    }
}

/// A `Vec` that knows its stack.
pub(crate) struct Plain {
    samples: Vec<f32>,
    class: usize,
}

impl Deref for Plain {
    type Target = Vec<f32>;

    #[inline(always)]
    fn deref(&self) -> &Vec<f32> {
        &self.samples
    }
}

impl DerefMut for Plain {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Vec<f32> {
        &mut self.samples
    }
}

/// How opool makes its objects.
pub(crate) struct Maker(usize);

impl opool::PoolAllocator<Vec<f32>> for Maker {
    fn allocate(&self) -> Vec<f32> {
        vec![0.0; self.0]
    }
}

pub(crate) struct OpoolLocal([opool::LocalPool<Maker, Vec<f32>>; CLASSES.len()]);

impl Pool for OpoolLocal {
    const NAME: &'static str = "opool-local";
    type Buffer<'pool> = opool::RefLocalGuard<'pool, Maker, Vec<f32>>;

    fn new() -> Self {
        Self(per_class(|samples| {
            opool::LocalPool::new_prefilled(BUFFERS, Maker(samples))
        }))
    }

    #[inline(always)]
    fn acquire(&self, class: usize, _: usize) -> Self::Buffer<'_> {
        self.0[class].get()
    }
}

pub(crate) struct Opool([opool::Pool<Maker, Vec<f32>>; CLASSES.len()]);

impl Pool for Opool {
    const NAME: &'static str = "opool";
    type Buffer<'pool> = opool::RefGuard<'pool, Maker, Vec<f32>>;

    fn new() -> Self {
        Self(per_class(|samples| {
            opool::Pool::new_prefilled(BUFFERS, Maker(samples))
        }))
    }

    #[inline(always)]
    fn acquire(&self, class: usize, _: usize) -> Self::Buffer<'_> {
        self.0[class].get()
    }
}

pub(crate) struct ObjectPool([object_pool::Pool<Vec<f32>>; CLASSES.len()]);

impl Pool for ObjectPool {
    const NAME: &'static str = "object-pool";
    type Buffer<'pool> = object_pool::Reusable<'pool, Vec<f32>>;

    fn new() -> Self {
        Self(per_class(|samples| {
            object_pool::Pool::new(BUFFERS, || vec![0.0; samples])
        }))
    }

    #[inline(always)]
    fn acquire(&self, class: usize, _: usize) -> Self::Buffer<'_> {
        self.0[class].try_pull().expect("idle buffer")
    }
}

macro_rules! lockfree_object_pool {
    ($Pool:ident, $Theirs:ident, $Guard:ident, $name:literal) => {
        pub(crate) struct $Pool([lockfree_object_pool::$Theirs<Vec<f32>>; CLASSES.len()]);

        impl Pool for $Pool {
            const NAME: &'static str = $name;
            type Buffer<'pool> = lockfree_object_pool::$Guard<'pool, Vec<f32>>;

            fn new() -> Self {
                let pools = per_class(|samples| {
                    lockfree_object_pool::$Theirs::new(move || vec![0.0; samples], |_| {})
                });
                for pool in &pools {
                    // It has no other way to be filled.
                    let filled: Vec<_> = (0..BUFFERS).map(|_| pool.pull()).collect();
                    drop(filled);
                }
                Self(pools)
            }

            #[inline(always)]
            fn acquire(&self, class: usize, _: usize) -> Self::Buffer<'_> {
                self.0[class].pull()
            }
        }
    };
}

lockfree_object_pool!(
    Linear,
    LinearObjectPool,
    LinearReusable,
    "lockfree-object-pool-linear"
);
lockfree_object_pool!(
    Spin,
    SpinLockObjectPool,
    SpinLockReusable,
    "lockfree-object-pool-spin"
);
lockfree_object_pool!(
    Mutexed,
    MutexObjectPool,
    MutexReusable,
    "lockfree-object-pool-mutex"
);

/// A queue of idle `Vec`s.
pub(crate) trait Queue: Send + Sync + 'static {
    const NAME: &'static str;
    fn empty() -> Self;
    fn put(&self, buffer: Vec<f32>);
    fn take(&self) -> Option<Vec<f32>>;
}

impl Queue for crossbeam_queue::ArrayQueue<Vec<f32>> {
    const NAME: &'static str = "crossbeam-array-queue";

    fn empty() -> Self {
        Self::new(BUFFERS)
    }

    #[inline(always)]
    fn put(&self, buffer: Vec<f32>) {
        self.push(buffer).expect("room");
    }

    #[inline(always)]
    fn take(&self) -> Option<Vec<f32>> {
        self.pop()
    }
}

impl Queue for crossbeam_queue::SegQueue<Vec<f32>> {
    const NAME: &'static str = "crossbeam-seg-queue";

    fn empty() -> Self {
        Self::new()
    }

    #[inline(always)]
    fn put(&self, buffer: Vec<f32>) {
        self.push(buffer);
    }

    #[inline(always)]
    fn take(&self) -> Option<Vec<f32>> {
        self.pop()
    }
}

heapless::object_pool!(HeaplessBlocks: Vec<f32>);

/// heapless' pools are statics: one for all classes, of the largest size.
pub(crate) struct Heapless;

impl Pool for Heapless {
    const NAME: &'static str = "heapless";
    type Buffer<'pool> = heapless::pool::object::Object<HeaplessBlocks>;

    fn new() -> Self {
        let largest = CLASSES[CLASSES.len() - 1];
        for buffer in vectors(largest) {
            let block = heapless::pool::object::ObjectBlock::new(buffer);
            HeaplessBlocks.manage(Box::leak(Box::new(block)));
        }
        Self
    }

    #[inline(always)]
    fn acquire(&self, _: usize, _: usize) -> Self::Buffer<'_> {
        HeaplessBlocks.request().expect("idle buffer")
    }
}

pub(crate) struct Queued<Q>(Box<[Q; CLASSES.len()]>);

pub(crate) struct FromQueue<'pool, Q: Queue> {
    buffer: Vec<f32>,
    home: &'pool Q,
}

impl<Q: Queue> Pool for Queued<Q> {
    const NAME: &'static str = Q::NAME;
    type Buffer<'pool> = FromQueue<'pool, Q>;

    fn new() -> Self {
        Self(Box::new(per_class(|samples| {
            let queue = Q::empty();
            vectors(samples).for_each(|buffer| queue.put(buffer));
            queue
        })))
    }

    #[inline(always)]
    fn acquire(&self, class: usize, _: usize) -> Self::Buffer<'_> {
        let home = &self.0[class];
        FromQueue {
            buffer: home.take().expect("idle buffer"),
            home,
        }
    }
}

impl<Q: Queue> Deref for FromQueue<'_, Q> {
    type Target = Vec<f32>;

    #[inline(always)]
    fn deref(&self) -> &Vec<f32> {
        &self.buffer
    }
}

impl<Q: Queue> DerefMut for FromQueue<'_, Q> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Vec<f32> {
        &mut self.buffer
    }
}

impl<Q: Queue> Drop for FromQueue<'_, Q> {
    #[inline(always)]
    fn drop(&mut self) {
        self.home.put(std::mem::take(&mut self.buffer));
    }
}

/// A `Vec` that sharded-slab may use again without freeing it.
#[derive(Default)]
pub(crate) struct Slabbed(Vec<f32>);

impl sharded_slab::Clear for Slabbed {
    fn clear(&mut self) {}
}

pub(crate) struct ShardedSlab([sharded_slab::Pool<Slabbed>; CLASSES.len()]);

pub(crate) struct FromSlab<'pool> {
    entry: Option<sharded_slab::pool::RefMut<'pool, Slabbed>>,
    home: &'pool sharded_slab::Pool<Slabbed>,
}

impl Pool for ShardedSlab {
    const NAME: &'static str = "sharded-slab";
    type Buffer<'pool> = FromSlab<'pool>;

    fn new() -> Self {
        let pools = per_class(|samples| {
            let pool = sharded_slab::Pool::<Slabbed>::new();
            let keys: Vec<usize> = vectors(samples)
                .map(|buffer| {
                    let entry = pool.create_with(|entry| entry.0 = buffer);
                    entry.expect("room")
                })
                .collect();
            for key in keys {
                pool.clear(key);
            }
            pool
        });
        Self(pools)
    }

    #[inline(always)]
    fn acquire(&self, class: usize, samples: usize) -> FromSlab<'_> {
        let home = &self.0[class];
        let mut entry = home.create().expect("room");
        if entry.0.is_empty() {
            entry.0.resize(samples.next_power_of_two(), 0.0);
        }
        FromSlab {
            entry: Some(entry),
            home,
        }
    }
}

impl Deref for FromSlab<'_> {
    type Target = Vec<f32>;

    #[inline(always)]
    fn deref(&self) -> &Vec<f32> {
        &self.entry.as_ref().expect("held").0
    }
}

impl DerefMut for FromSlab<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Vec<f32> {
        &mut self.entry.as_mut().expect("held").0
    }
}

impl Drop for FromSlab<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let key = entry.key();
            drop(entry);
            self.home.clear(key);
        }
    }
}
