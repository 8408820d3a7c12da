use super::*;

#[test]
fn error_messages_carry_numbers_and_retryable_is_right() {
    let error = PoolError::TooLarge {
        requested: 9000,
        largest: 4096,
    };
    assert_eq!(
        error.to_string(),
        "9000 samples asked for, at most 4096 can be had: ask for less, or build the pool with a larger class"
    );
    assert!(!error.is_retryable());
    let error = PoolError::Exhausted {
        requested: 300,
        class_samples: 512,
        carved: 64,
    };
    assert!(error.to_string().contains("512"));
    assert!(error.is_retryable());
    assert!(size_of::<PoolError>() <= 32);
    let full = PoolError::TableFull {
        table: Table::Leases,
        capacity: 4,
    };
    assert_eq!(
        full.to_string(),
        "all 4 leases are open: release one, or make the table larger"
    );
}

#[test]
fn error_of_an_impossible_request_is_not_retryable() {
    let beyond = |requested| PoolError::LimitReached {
        requested,
        available: 0,
        limit: 1000,
    };
    assert!(beyond(1000).is_retryable() && !beyond(1001).is_retryable());
    let refused = |bytes| PoolError::OutOfMemory { bytes };
    assert!(refused(1 << 20).is_retryable() && !refused(usize::MAX).is_retryable());
    let empty = PoolError::Exhausted {
        requested: 1,
        class_samples: 64,
        carved: 0,
    };
    assert!(!empty.is_retryable());
}
