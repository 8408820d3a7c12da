use super::*;

#[test]
fn the_story_s_events_have_the_story_s_priorities() {
    assert_eq!(BufferPoolAllocation::PRIORITY, Priority::Critical);
    assert_eq!(BufferPoolRecycling::PRIORITY, Priority::Critical);
    assert_eq!(PoolOptimization::PRIORITY, Priority::High);
    assert_eq!(PoolFragmentation::PRIORITY, Priority::Normal);
    assert_eq!(JSGCPressureReduction::PRIORITY, Priority::Normal);
    assert_eq!(NAMES.len(), 12);
}

#[test]
fn every_event_can_be_declared_on_one_bus() {
    declare_all(&crate::event_bus::TypedEventBus::default()).unwrap();
}
