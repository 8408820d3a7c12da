//! Ours, behind the face of its rivals.

use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::{
    AttachPublisher, BufferPool, PoolControl, PooledBuffer, RealtimePool, Scratch,
};

use super::rivals::{BUFFERS, CLASSES, Pool};

/// Our halves with a bus attached, as the module attaches it.
struct Ours {
    half: RealtimePool,
    _control: PoolControl,
    _bus: TypedEventBus,
    frame: u64,
}

impl Ours {
    fn new() -> Self {
        let mut builder = BufferPool::builder();
        for samples in CLASSES {
            builder = builder.class(samples, BUFFERS as u32);
        }
        let (mut control, mut half) = builder.build().expect("pool");
        let bus = TypedEventBus::default();
        control
            .attach_publisher(bus.publisher().expect("publisher"))
            .expect("attached");
        half.attach_publisher(bus.publisher().expect("publisher"))
            .expect("attached");
        Self {
            half,
            _control: control,
            _bus: bus,
            frame: 0,
        }
    }

    fn rest(&mut self) {
        self.frame += 128;
        self.half.begin_quantum(self.frame);
    }
}

/// `Scratch`: for one callback.
pub(crate) struct OursScratch(Ours);

impl Pool for OursScratch {
    const NAME: &'static str = "wavepool";
    type Buffer<'pool> = Scratch<'pool>;

    fn new() -> Self {
        Self(Ours::new())
    }

    #[inline(always)]
    fn acquire(&self, _: usize, samples: usize) -> Scratch<'_> {
        self.0.half.scratch(samples).expect("idle buffer")
    }

    fn rest(&mut self) {
        self.0.rest();
    }
}

/// `acquire`, or `acquire_silent`, and `release`: owned buffers.
pub(crate) struct OursOwning<const SILENT: bool>(Ours);

pub(crate) type OursOwned = OursOwning<false>;
pub(crate) type OursSilent = OursOwning<true>;

impl<const SILENT: bool> Pool for OursOwning<SILENT> {
    const NAME: &'static str = "wavepool";
    type Buffer<'pool> = PooledBuffer;

    fn new() -> Self {
        Self(Ours::new())
    }

    #[inline(always)]
    fn acquire(&self, _: usize, samples: usize) -> PooledBuffer {
        if SILENT {
            self.0.half.acquire_silent(samples)
        } else {
            self.0.half.acquire(samples)
        }
        .expect("idle buffer")
    }

    #[inline(always)]
    fn release(&self, buffer: PooledBuffer) {
        self.0.half.release(buffer);
    }

    fn rest(&mut self) {
        self.0.rest();
    }
}
