//! Samples to Rust and back in every shape that wasm-bindgen has, and as a pooled buffer that JavaScript looks at.
//!
//! `cargo xtask bench boundary` compiles this for `wasm32-unknown-unknown`, gives it wasm-bindgen's glue, and has
//! `boundary/node.mjs` time it in Node; the browser's benchmark runs the same module in an AudioWorklet.
//! The work is the same in each: negate every sample, so that twice is nothing.
#![allow(unsafe_code)] // Exports by name, as the library's own are, and the address that JavaScript gives back.
#![allow(missing_docs, unreachable_pub)] // What wasm-bindgen exports must be called public.

#[cfg(target_arch = "wasm32")]
mod shapes {
    use js_sys::Float32Array;
    use wasm_bindgen::prelude::*;
    use wavepool::modules::data_management::{
        BufferPool, JSBufferRef, Lease, LeasedBuffer, PoolControl, RealtimePool, WasmJsBridge,
    };

    fn negate(samples: &mut [f32]) {
        for sample in samples {
            *sample = -*sample;
        }
    }

    #[wasm_bindgen]
    pub fn slice(samples: &[f32]) -> Vec<f32> {
        samples.iter().map(|sample| -sample).collect()
    }

    #[wasm_bindgen(js_name = mutSlice)]
    pub fn mut_slice(samples: &mut [f32]) {
        negate(samples);
    }

    #[wasm_bindgen]
    pub fn vec(mut samples: Vec<f32>) -> Vec<f32> {
        negate(&mut samples);
        samples
    }

    #[wasm_bindgen(js_name = float32Array)]
    pub fn float32_array(samples: &Float32Array) -> Float32Array {
        let mut samples = samples.to_vec();
        negate(&mut samples);
        Float32Array::from(samples.as_slice())
    }

    /// What JavaScript needs to make a view, where it can read it.
    #[repr(C)]
    struct View {
        slot: u32,
        address: u32,
        capacity: u32,
        make: u32,
    }

    struct Pooled {
        bridge: WasmJsBridge,
        pool: RealtimePool,
        view: View,
        _control: PoolControl,
    }

    /// Buffers of each class: the most that are held at once.
    const EACH: u32 = 8;

    #[unsafe(no_mangle)]
    extern "C" fn pooled_open() -> *mut Pooled {
        let classes = [128, 256, 512, 1024, 2048, 4096];
        let builder = classes
            .into_iter()
            .fold(BufferPool::builder(), |pool, samples| {
                pool.class(samples, EACH)
            });
        let Ok((control, pool)) = builder.build() else {
            return core::ptr::null_mut();
        };
        let slots = classes.len() * EACH as usize;
        Box::into_raw(Box::new(Pooled {
            bridge: WasmJsBridge::new(1, slots, slots),
            pool,
            view: View {
                slot: 0,
                address: 0,
                capacity: 0,
                make: 0,
            },
            _control: control,
        }))
    }

    fn open<'a>(pooled: *mut Pooled) -> &'a mut Pooled {
        // SAFETY: from `pooled_open`, never freed, used by the one thread of this instance, one call at a time.
        unsafe { &mut *pooled }
    }

    /// Leases a buffer that JavaScript writes next; what it needs for that is at `pooled_view`. 0 if refused.
    #[unsafe(no_mangle)]
    extern "C" fn pooled_acquire(pooled: *mut Pooled, samples: usize) -> u32 {
        let Pooled {
            bridge, pool, view, ..
        } = open(pooled);
        // Contents as they were: JavaScript writes them all.
        let lease = pool.acquire(samples).and_then(|buffer| {
            let lease = bridge.open(buffer)?;
            let seen = bridge.view(lease)?;
            *view = View {
                slot: seen.slot,
                address: seen.address as u32,
                capacity: seen.capacity as u32,
                make: u32::from(seen.make),
            };
            Ok(lease)
        });
        lease.map_or(0, JSBufferRef::raw)
    }

    #[unsafe(no_mangle)]
    extern "C" fn pooled_view(pooled: *mut Pooled) -> *const View {
        &raw const open(pooled).view
    }

    /// JavaScript has written; Rust works on it, and JavaScript may look on.
    #[unsafe(no_mangle)]
    extern "C" fn pooled_negate(pooled: *mut Pooled, lease: u32) -> u32 {
        let bridge = &mut open(pooled).bridge;
        let buffer = JSBufferRef::from_raw(lease);
        if bridge.end_view(buffer).is_err() {
            return 0;
        }
        let Ok(LeasedBuffer::Owned(samples)) = bridge.leases().view(Lease::from_raw(lease)) else {
            return 0;
        };
        negate(samples);
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn pooled_release(pooled: *mut Pooled, lease: u32) -> u32 {
        let Pooled { bridge, pool, .. } = open(pooled);
        u32::from(
            bridge
                .release_on(pool, JSBufferRef::from_raw(lease))
                .is_ok(),
        )
    }
}

/// Cargo wants one; nobody calls it.
#[allow(dead_code, reason = "an example has a main when it is not a library")]
fn main() {}
