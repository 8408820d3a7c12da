//! Every number that the bus takes, from 0 to the maximum of its type: it is used exactly, or refused with a typed error.

use std::mem::MaybeUninit;
use std::time::Duration;

use wavepool::event_bus::{
    BusConfig, BusError, Event, FORWARDED_CELL_BYTES, MAX_INLINE_HANDLERS, MAX_LANE_CELLS,
    MAX_QUEUE_EVENTS, Published, TypedEventBus,
};

use super::{Later, Soon, Urgent, returns};

/// Every power of two, its neighbours, and the ends.
fn sizes() -> impl Iterator<Item = usize> {
    let around = |bit: u32| {
        let power = 1_usize.wrapping_shl(bit);
        [power - 1, power, power.wrapping_add(1)]
    };
    (0..usize::BITS).flat_map(around).chain([usize::MAX])
}

#[test]
fn lane_sizes_are_rounded_up_or_refused() {
    type Set = fn(&mut BusConfig, usize);
    let fields: [(&str, Set); 3] = [
        ("critical_cells", |config, cells| {
            config.critical_cells = cells
        }),
        ("high_cells", |config, cells| config.high_cells = cells),
        ("normal_cells", |config, cells| config.normal_cells = cells),
    ];
    for (field, set) in fields {
        for cells in sizes() {
            let mut config = BusConfig {
                critical_cells: 1,
                high_cells: 1,
                normal_cells: 1,
                max_publishers: 1,
            };
            set(&mut config, cells);
            let bus = TypedEventBus::new(config);
            let before = bus.stats();
            match bus.publisher() {
                Ok(_publisher) => {
                    assert!(cells <= MAX_LANE_CELLS, "{field} {cells}");
                    let bytes = bus.stats().bytes_reserved - before.bytes_reserved;
                    let lanes = 64 * (cells.max(1).next_power_of_two() + 2);
                    assert!((lanes..lanes + 2048).contains(&bytes), "{cells}: {bytes}");
                }
                Err(error) => {
                    assert!(cells > MAX_LANE_CELLS, "{field} {cells}: {error}");
                    let limit = MAX_LANE_CELLS;
                    assert_eq!(
                        error,
                        BusError::LaneTooLarge {
                            field,
                            cells,
                            limit
                        }
                    );
                    let text = error.to_string();
                    assert!(
                        text.contains(field) && text.contains(&cells.to_string()),
                        "{text}"
                    );
                    assert_eq!(bus.stats(), before, "nothing changed");
                }
            }
        }
    }
}

#[test]
fn lane_capacity_is_the_requested_one_rounded_up() {
    for cells in [0, 1, 2, 3, 5, 64, 1000] {
        let bus = TypedEventBus::new(BusConfig {
            normal_cells: cells,
            ..BusConfig::default()
        });
        let queue = bus.queue::<Later>(4096).unwrap();
        let publisher = bus.publisher().unwrap();
        let holds = cells.max(1).next_power_of_two() as u64;
        for n in 0..holds {
            assert_eq!(publisher.publish(Later(n)), Published::Queued);
        }
        assert_eq!(publisher.publish(Later(holds)), Published::Dropped);
        assert_eq!(bus.pump(usize::MAX).delivered as u64, holds);
        assert!(
            std::iter::from_fn(|| queue.try_next())
                .map(|e| e.0)
                .eq(0..holds)
        );
    }
}

#[test]
fn publisher_limit_is_enforced_from_none_to_as_many_as_fit() {
    for limit in sizes() {
        let bus = TypedEventBus::new(BusConfig {
            critical_cells: 1,
            high_cells: 1,
            normal_cells: 1,
            max_publishers: limit,
        });
        let made = limit.min(40);
        let publishers: Vec<_> = (0..made).map(|_| bus.publisher().unwrap()).collect();
        if limit <= 40 {
            assert_eq!(
                bus.publisher().unwrap_err(),
                BusError::TooManyPublishers { limit }
            );
        }
        // All their dropped events are announced, by the first or by a later pump.
        let _subscription = bus.subscribe(|_: &Urgent| ()).unwrap();
        let drops = bus.queue(64).unwrap();
        for publisher in &publishers {
            publisher.publish(Urgent(0));
            publisher.publish(Urgent(1));
        }
        (0..4).for_each(|_| _ = bus.pump(usize::MAX));
        let announced: Vec<wavepool::event_bus::EventsDropped> =
            std::iter::from_fn(|| drops.try_next()).collect();
        assert_eq!(announced.len(), made);
        assert!(
            announced
                .iter()
                .all(|drop| drop.dropped == 1 && drop.total == 1)
        );
    }
}

#[test]
fn pump_limit_is_enforced() {
    for limit in sizes() {
        let bus = TypedEventBus::default();
        let _guards = (
            bus.subscribe(|_: &Urgent| ()).unwrap(),
            bus.subscribe(|_: &Soon| ()).unwrap(),
        );
        let publisher = bus.publisher().unwrap();
        for n in 0..20 {
            publisher.publish(Urgent(n));
            publisher.publish(Soon(n));
        }
        assert_eq!(bus.pump(limit).taken(), limit.min(40), "{limit}");
        assert_eq!(bus.pump(usize::MAX).taken(), 40 - limit.min(40));
    }
}

#[test]
fn queue_capacity_is_enforced_or_refused() {
    let bus = TypedEventBus::default();
    let publisher = bus.publisher().unwrap();
    for capacity in sizes() {
        // Long queues write to all their memory; a few of them are enough.
        if (1 << 12..MAX_QUEUE_EVENTS).contains(&capacity) {
            continue;
        }
        match bus.queue::<Urgent>(capacity) {
            Ok(queue) => {
                assert!(capacity <= MAX_QUEUE_EVENTS);
                for n in 0..70 {
                    publisher.publish(Urgent(n));
                }
                bus.pump(usize::MAX);
                let held = std::iter::from_fn(|| queue.try_next()).count();
                assert_eq!(held, capacity.clamp(1, 70));
                assert_eq!(queue.missed(), 70 - held as u64);
            }
            Err(error) => {
                let limit = MAX_QUEUE_EVENTS;
                assert_eq!(error, BusError::QueueTooLong { capacity, limit });
                assert_eq!(
                    publisher.publish(Urgent(0)),
                    Published::Idle,
                    "nothing changed"
                );
            }
        }
    }
}

#[test]
fn queue_waits_of_any_length_end_with_the_event() {
    returns("waiting", || {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        let queue = bus.queue::<Urgent>(1).unwrap();
        assert_eq!(queue.next_within(Duration::ZERO), None);
        for timeout in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            publisher.publish(Urgent(7));
            bus.pump(1);
            assert_eq!(queue.next_within(timeout), Some(Urgent(7)));
        }
    });
}

#[test]
fn inline_handlers_are_refused_above_their_limit() {
    let bus = TypedEventBus::default();
    let mut publisher = bus.publisher().unwrap();
    for n in 0..3 * MAX_INLINE_HANDLERS {
        let added = publisher.add_inline(|_: &Urgent| ());
        assert_eq!(added.is_ok(), n < MAX_INLINE_HANDLERS, "{n}");
    }
}

#[test]
fn forwarded_cells_of_any_length_are_whole_or_refused() {
    let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
    // Counts once, however often it is called.
    for _ in 0..1_000 {
        sender.forward_all();
    }
    sender.declare::<Urgent>().unwrap();
    let queue = receiver.queue::<Urgent>(64).unwrap();
    let publisher = sender.publisher().unwrap();
    for length in (0..=3 * FORWARDED_CELL_BYTES).chain([10 * FORWARDED_CELL_BYTES + 1]) {
        let mut bytes = vec![MaybeUninit::uninit(); length];
        for n in 0..4 {
            publisher.publish(Urgent(n));
        }
        let written = sender.drain_cells(&mut bytes);
        assert_eq!(
            written,
            (length / FORWARDED_CELL_BYTES).min(4) * FORWARDED_CELL_BYTES
        );
        if length % FORWARDED_CELL_BYTES != 0 {
            // SAFETY: refused for its length.
            #[allow(unsafe_code, reason = "cells are injected by an unsafe function")]
            let torn = unsafe { receiver.inject_cells(&bytes, 0) };
            let cell_bytes = FORWARDED_CELL_BYTES;
            assert_eq!(
                torn,
                Err(BusError::TornCells {
                    bytes: length,
                    cell_bytes
                })
            );
            assert_eq!(queue.try_next(), None, "nothing changed");
        }
        for age in [0, 1, u64::MAX] {
            // SAFETY: drained above.
            #[allow(unsafe_code, reason = "cells are injected by an unsafe function")]
            let delivered = unsafe { receiver.inject_cells(&bytes[..written], age) };
            assert_eq!(delivered, Ok(written / FORWARDED_CELL_BYTES));
        }
        assert_eq!(
            std::iter::from_fn(|| queue.try_next()).count(),
            3 * written / FORWARDED_CELL_BYTES
        );
        sender.drain_cells(&mut [MaybeUninit::uninit(); 4 * FORWARDED_CELL_BYTES]);
    }
}

#[test]
fn forwarded_cells_of_an_unknown_type_change_nothing() {
    let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
    sender.forward_all();
    sender.declare::<Urgent>().unwrap();
    sender.declare::<Later>().unwrap();
    let queue = receiver.queue::<Urgent>(4).unwrap();
    let publisher = sender.publisher().unwrap();
    publisher.publish(Urgent(1));
    publisher.publish(Later(1));
    let mut bytes = [MaybeUninit::uninit(); 4 * FORWARDED_CELL_BYTES];
    let written = sender.drain_cells(&mut bytes);
    // SAFETY: drained above.
    #[allow(unsafe_code, reason = "cells are injected by an unsafe function")]
    let refused = unsafe { receiver.inject_cells(&bytes[..written], 0) };
    let id = Later::ID;
    assert_eq!(refused, Err(BusError::UnknownEvent { id, index: 1 }));
    assert_eq!(queue.try_next(), None);
    assert_eq!(receiver.stats().critical.published, 0);
}

#[test]
fn forwarded_cells_within_a_handler_are_refused() {
    returns("injecting", || {
        let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
        sender.forward_all();
        sender.declare::<Urgent>().unwrap();
        let publisher = sender.publisher().unwrap();
        publisher.publish(Urgent(1));
        let mut bytes = [MaybeUninit::uninit(); FORWARDED_CELL_BYTES];
        let written = sender.drain_cells(&mut bytes);
        let bus = receiver.clone();
        let _guard = receiver.subscribe(move |_: &Urgent| {
            // SAFETY: drained above.
            #[allow(unsafe_code, reason = "cells are injected by an unsafe function")]
            let refused = unsafe { bus.inject_cells(&bytes[..written], 0) };
            assert_eq!(refused, Err(BusError::Delivering));
        });
        // SAFETY: drained above.
        #[allow(unsafe_code, reason = "cells are injected by an unsafe function")]
        let delivered = unsafe { receiver.inject_cells(&bytes[..written], 0) };
        assert_eq!(delivered, Ok(1));
        assert_eq!(receiver.stats().subscriber_panics, 0);
    });
}
