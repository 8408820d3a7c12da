use super::*;

#[test]
fn pool_events_have_the_priorities_of_the_story() {
    assert_eq!(BufferPoolAllocation::PRIORITY, Priority::Critical);
    assert_eq!(BufferPoolRecycling::PRIORITY, Priority::Critical);
    assert_eq!(PoolOptimization::PRIORITY, Priority::High);
    assert_eq!(PoolFragmentation::PRIORITY, Priority::Normal);
    assert_eq!(JSGCPressureReduction::PRIORITY, Priority::Normal);
    assert_eq!(NAMES.len(), 13);
}

#[test]
fn pool_events_can_all_be_declared_on_one_bus() {
    declare_all(&crate::event_bus::TypedEventBus::default()).unwrap();
}
