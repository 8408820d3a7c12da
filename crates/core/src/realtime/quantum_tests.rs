use crate::BufferPool;

/// Number of classes that have all their buffers on their local list.
fn full(half: &super::RealtimePool) -> usize {
    let full = |size_class: &&super::SizeClass| size_class.local() == size_class.carved();
    half.owned.table().all().filter(full).count()
}

#[test]
fn inbox_of_each_class_is_taken_in_within_one_round() {
    let (_control, mut half) = BufferPool::builder()
        .class(64, 2)
        .class(128, 2)
        .class(256, 2)
        .build()
        .unwrap();
    half.begin_quantum(0);
    assert_eq!(full(&half), 3);
    for first in 0..3 {
        drop([64, 128, 256].map(|samples| half.acquire(samples).unwrap()));
        assert_eq!(full(&half), 0);
        for taken_in in 1..=3 {
            half.begin_quantum(128);
            assert_eq!(full(&half), taken_in, "in round {first}");
        }
        // The next round begins with another class.
        half.begin_quantum(128);
    }
    // A class whose local list is empty does not wait for its turn.
    let all = [0, 1].map(|_| half.acquire(256).unwrap());
    drop(all);
    assert!(half.acquire(256).is_ok());
}

#[test]
fn request_to_one_class_is_served_from_the_next_quantum_on() {
    let (_control, mut half) = BufferPool::builder()
        .class(64, 200)
        .class(128, 200)
        .build()
        .unwrap();
    for quantum in 0..5 {
        half.begin_quantum(quantum);
    }
    half.owned
        .table()
        .all()
        .for_each(|size_class| size_class.set_limit(0));
    for left in [272, 144, 16, 0] {
        half.begin_quantum(0);
        let idle: u32 = half
            .owned
            .table()
            .all()
            .map(super::SizeClass::idle_of_owner)
            .sum();
        assert_eq!(idle, left);
    }
}
