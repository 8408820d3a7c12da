//! Other people's ways to hand a small value to another thread, filled and drained like ours: one publisher, one
//! receiver that is there, 1024 places, a batch of 1000 at a time.

use std::hint::black_box;
use std::iter::from_fn;

use crate::{Allocated, CALLS, ns_per_call};

/// A queue with both its ends.
trait Rival {
    fn publish(&mut self, event: Allocated) -> bool;
    fn drain(&mut self) -> u64;
}

fn measure(rival: impl Rival) -> f64 {
    let mut rival = (rival, 0);
    let ns = ns_per_call(
        &mut rival,
        |(rival, _), frame| assert!(rival.publish(Allocated::at(frame)), "nothing is lost"),
        |(rival, received)| *received += rival.drain(),
    );
    assert_eq!(rival.1, CALLS, "every event arrived");
    ns
}

/// Nanoseconds per event, by name.
pub(crate) fn all() -> [(&'static str, f64); 4] {
    const PLACES: usize = 1_024;
    let ring = disruptor::build_single_producer(PLACES, Allocated::default, disruptor::BusySpin);
    let (poller, ring) = ring.new_event_poller();
    [
        (
            "crossbeam-channel",
            measure(crossbeam_channel::bounded(PLACES)),
        ),
        (
            "tokio-broadcast",
            measure(tokio::sync::broadcast::channel(PLACES)),
        ),
        ("rtrb", measure(rtrb::RingBuffer::new(PLACES))),
        ("disruptor", measure((ring.build(), poller))),
    ]
}

fn count(events: impl Iterator<Item = Allocated>) -> u64 {
    events.map(|event| u64::from(black_box(event).count)).sum()
}

impl Rival
    for (
        crossbeam_channel::Sender<Allocated>,
        crossbeam_channel::Receiver<Allocated>,
    )
{
    #[inline(never)]
    fn publish(&mut self, event: Allocated) -> bool {
        self.0.try_send(event).is_ok()
    }

    fn drain(&mut self) -> u64 {
        count(self.1.try_iter())
    }
}

impl Rival
    for (
        tokio::sync::broadcast::Sender<Allocated>,
        tokio::sync::broadcast::Receiver<Allocated>,
    )
{
    #[inline(never)]
    fn publish(&mut self, event: Allocated) -> bool {
        self.0.send(event).is_ok()
    }

    fn drain(&mut self) -> u64 {
        count(from_fn(|| self.1.try_recv().ok()))
    }
}

impl Rival for (rtrb::Producer<Allocated>, rtrb::Consumer<Allocated>) {
    #[inline(never)]
    fn publish(&mut self, event: Allocated) -> bool {
        self.0.push(event).is_ok()
    }

    fn drain(&mut self) -> u64 {
        count(from_fn(|| self.1.pop().ok()))
    }
}

impl<P> Rival
    for (
        P,
        disruptor::EventPoller<Allocated, disruptor::SingleProducerBarrier>,
    )
where
    P: disruptor::Producer<Allocated>,
{
    #[inline(never)]
    fn publish(&mut self, event: Allocated) -> bool {
        self.0.try_publish(|place| *place = event).is_ok()
    }

    fn drain(&mut self) -> u64 {
        self.1
            .poll()
            .map_or(0, |mut events| count((&mut events).copied()))
    }
}
