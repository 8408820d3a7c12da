//! The pool's reports as events on the bus.

use super::pool_events::{
    BufferLeaked, BufferPoolAllocation, BufferPoolRecycling, LeasesReclaimed, PoolExhausted,
    PoolGrown, declare_for,
};
use crate::event_bus::{BusError, Publisher};
use wavepool_core::PoolControl;
use wavepool_core::PoolObserver;
use wavepool_core::RealtimePool;

/// Attaches an event bus's publisher to a half of the pool.
pub trait AttachPublisher {
    /// Publishes what this half reports. Attach before a real-time half moves to its thread.
    ///
    /// A subscription to allocations or recyclings that comes later takes effect at the half's next
    /// [`begin_quantum`](RealtimePool::begin_quantum). The pool's event types are declared on the publisher's bus, so
    /// that JSON subscribers get them all.
    ///
    /// # Errors
    /// The bus's, when it cannot declare the types: the publisher is not attached then.
    ///
    /// # Examples
    /// ```
    /// use wavepool::event_bus::TypedEventBus;
    /// use wavepool::prelude::*;
    ///
    /// let bus = TypedEventBus::default();
    /// let (mut control, mut half) = BufferPool::builder().class(256, 4).build()?;
    /// control.attach_publisher(bus.publisher()?)?;
    /// half.attach_publisher(bus.publisher()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn attach_publisher(&mut self, publisher: Publisher) -> Result<(), BusError>;
}

impl AttachPublisher for RealtimePool {
    fn attach_publisher(&mut self, publisher: Publisher) -> Result<(), BusError> {
        declare_for(&publisher)?;
        self.attach_observer(Box::new(BusObserver(publisher)));
        Ok(())
    }
}

impl AttachPublisher for PoolControl {
    fn attach_publisher(&mut self, publisher: Publisher) -> Result<(), BusError> {
        declare_for(&publisher)?;
        self.attach_observer(Box::new(BusObserver(publisher)));
        Ok(())
    }
}

/// Publishes each report as an event.
struct BusObserver(Publisher);

impl PoolObserver for BusObserver {
    fn is_subscribed(&self) -> bool {
        let publisher = &self.0;
        publisher.may_have_subscribers::<BufferPoolAllocation, BufferPoolRecycling>()
            && (publisher.has_subscribers::<BufferPoolAllocation>()
                || publisher.has_subscribers::<BufferPoolRecycling>())
    }

    fn allocated(&self, report: BufferPoolAllocation) {
        self.0.publish(report);
    }

    fn recycled(&self, report: BufferPoolRecycling) {
        self.0.publish(report);
    }

    fn exhausted(&self, report: PoolExhausted) {
        self.0.publish(report);
    }

    fn grown(&self, report: PoolGrown) {
        self.0.publish(report);
    }

    fn leases_reclaimed(&self, report: LeasesReclaimed) {
        self.0.publish(report);
    }

    fn leaked(&self, report: BufferLeaked) {
        self.0.publish(report);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "bus_observer_tests.rs"]
mod tests;
