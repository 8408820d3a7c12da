use super::*;
use crate::realtime::pool_state::OnRelease;

/// The table, and the size classes that it is about.
fn table(sizes: &[u32], largest: usize) -> (ClassTable, Vec<SizeClass>) {
    let size_class = |&samples| SizeClass::of_test(OnRelease::Leave, samples, 0);
    let classes: Vec<SizeClass> = sizes.iter().map(size_class).collect();
    let sorted: Vec<_> = classes.iter().collect();
    // SAFETY: both are returned, the classes in their place on the heap.
    let table = unsafe { ClassTable::new(bucket_shift(largest), &sorted, &[]) };
    (table.unwrap(), classes)
}

#[test]
fn class_lookup_finds_the_smallest_class_that_holds_a_request() {
    for sizes in [
        &[256, 512, 1024, 2048, 4096][..],
        &[4096],
        &[16, 32, 48, 100, 101, 102, 4096],
        &[100, 5000, 8192],
        &[1, 2, 3],
    ] {
        let largest = *sizes.last().unwrap() as usize;
        let (table, _classes) = table(sizes, largest);
        for samples in 1..=largest {
            let (_, size_class) = table.find(samples).unwrap();
            let best = sizes.iter().find(|&&size| size as usize >= samples);
            assert_eq!(Some(&size_class.samples), best, "{samples} in {sizes:?}");
        }
        assert!(table.find(0).is_none());
        assert!(table.find(largest + 1).is_none());
        assert!(table.find(usize::MAX).is_none());
    }
}

#[test]
fn class_above_the_last_one_does_not_exist() {
    let (table, _classes) = table(&[256, 512], 512);
    assert_eq!(table.above(256).unwrap().samples, 512);
    assert!(table.above(512).is_none());
    assert_eq!(table.all().count(), 2);
}
