//! The modules of this memory, and the bus between them.

use wavepool::event_bus::{Publisher, TypedEventBus};
use wavepool::modules::data_management::pool_events::LeasesReclaimed;
use wavepool::modules::data_management::{
    DataManagementConfig, DataManagementModule, PoolControl, RealtimePool,
};
use wavepool::registry::{ModuleError, ModuleRegistry};

use super::activity::{self, Activity};
use super::dispatch_gaps::DispatchGaps;
use crate::shared::platform::{now_ms, set_bus_time};

/// The most events of one delivery, so that it is bounded.
const EVENTS_PER_DISPATCH: usize = 4096;

/// The registry, and what every part of the host needs of it.
pub(crate) struct Instance {
    /// For the host's own events. Made at boot, so that it exists also when the limit of publishers is reached.
    publisher: Publisher,
    pub(crate) gaps: DispatchGaps,
    pub(crate) registry: ModuleRegistry,
}

impl Instance {
    pub(crate) fn boot(
        bus: TypedEventBus,
        config: DataManagementConfig,
    ) -> Result<Self, ModuleError> {
        Ok(Self {
            publisher: bus.publisher()?,
            gaps: DispatchGaps::new(now_ms()),
            registry: ModuleRegistry::builder(bus).configure(config).boot()?,
        })
    }

    pub(crate) fn bus(&self) -> &TypedEventBus {
        self.registry.bus()
    }

    pub(crate) fn data(&self) -> Option<&DataManagementModule> {
        self.registry.get()
    }

    pub(crate) fn data_mut(&mut self) -> Option<&mut DataManagementModule> {
        self.registry.get_mut()
    }

    pub(crate) fn control(&self) -> Option<&PoolControl> {
        self.data()?.control()
    }

    pub(crate) fn control_mut(&mut self) -> Option<&mut PoolControl> {
        self.data_mut()?.control_mut()
    }

    /// A pool half without a stream.
    pub(crate) fn attach(&mut self) -> Result<RealtimePool, ModuleError> {
        let data = self.data_mut().ok_or("the pool is not running")?;
        Ok(data.attach_realtime()?)
    }

    /// Delivers pending events. Sets the bus's time first, so that latencies are not measured with an old time.
    pub(crate) fn dispatch(&self) {
        let begin_ms = now_ms();
        let before = activity::current();
        self.gaps.begin(before, begin_ms);
        activity::begin(Activity::Events, 0);
        set_bus_time(self.bus(), (begin_ms * 1e6) as u64);
        let report = self.bus().pump(EVENTS_PER_DISPATCH);
        self.gaps.end(before, now_ms(), report.late);
    }

    /// Publishes that leases were reclaimed whose memory was lost.
    pub(crate) fn publish_reclaimed(&self, holder: u32, count: u64) {
        if count > 0 {
            self.publisher.publish(LeasesReclaimed {
                holder,
                count: count as u32,
                first_frame: None,
            });
        }
    }
}
