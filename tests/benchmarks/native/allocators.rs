//! The allocators, behind the face of the pools.
#![allow(unsafe_code)] // They are called directly.

use std::alloc::{GlobalAlloc, Layout};
use std::ops::{Deref, DerefMut};

use super::rivals::Pool;

/// An allocator to be called as `Vec` calls it; past the counting one that this binary installs.
pub(crate) trait Allocator: 'static {
    const NAME: &'static str;
    const ZEROED: bool;
    fn global() -> &'static impl GlobalAlloc;
}

macro_rules! allocator {
    ($Name:ident, $name:literal, $global:expr, $zeroed:literal) => {
        pub(crate) struct $Name;

        impl Allocator for $Name {
            const NAME: &'static str = $name;
            const ZEROED: bool = $zeroed;

            fn global() -> &'static impl GlobalAlloc {
                &$global
            }
        }
    };
}

allocator!(Malloc, "malloc", std::alloc::System, false);
allocator!(MallocZeroed, "malloc", std::alloc::System, true);
allocator!(MiMalloc, "mimalloc", mimalloc::MiMalloc, false);
allocator!(MiMallocZeroed, "mimalloc", mimalloc::MiMalloc, true);

/// What `Vec::with_capacity(n)`, or `vec![0.0; n]`, does, and its drop.
pub(crate) struct Allocated<A>(std::marker::PhantomData<A>);

pub(crate) struct Block<A: Allocator> {
    start: *mut f32,
    samples: usize,
    allocator: std::marker::PhantomData<A>,
}

// SAFETY: it owns its memory alone, and both allocators free from any thread.
unsafe impl<A: Allocator> Send for Block<A> {}

impl<A: Allocator> Pool for Allocated<A> {
    const NAME: &'static str = A::NAME;
    type Buffer<'pool> = Block<A>;

    fn new() -> Self {
        Self(std::marker::PhantomData)
    }

    #[inline(always)]
    fn acquire(&self, _: usize, samples: usize) -> Block<A> {
        let layout = Layout::array::<f32>(samples).expect("size");
        // SAFETY: no size here is 0.
        let start = unsafe {
            if A::ZEROED {
                A::global().alloc_zeroed(layout)
            } else {
                A::global().alloc(layout)
            }
        }
        .cast::<f32>();
        assert!(!start.is_null());
        Block {
            start,
            samples,
            allocator: std::marker::PhantomData,
        }
    }
}

impl<A: Allocator> Deref for Block<A> {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        // SAFETY: allocated with this length, owned; the benchmark reads only what it wrote.
        unsafe { std::slice::from_raw_parts(self.start, self.samples) }
    }
}

impl<A: Allocator> DerefMut for Block<A> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.samples) }
    }
}

impl<A: Allocator> Drop for Block<A> {
    #[inline(always)]
    fn drop(&mut self) {
        let layout = Layout::array::<f32>(self.samples).expect("size");
        // SAFETY: allocated with this layout by this allocator, once.
        unsafe { A::global().dealloc(self.start.cast(), layout) }
    }
}
