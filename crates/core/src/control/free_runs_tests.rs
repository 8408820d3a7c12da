use super::*;

fn run(region: u8, unit: u32, units: u32) -> Run {
    Run {
        region,
        unit,
        units,
    }
}

#[test]
fn free_runs_are_used_lowest_first_and_coalesce() {
    let mut free = FreeRuns::default();
    free.give(run(1, 0, 10));
    free.give(run(0, 0, 10));
    assert_eq!((free.total(), free.largest()), (20, 10));
    let parts: Vec<_> = (0..3).map(|_| take(&mut free, 4).unwrap()).collect();
    assert_eq!(parts, [run(0, 0, 4), run(0, 4, 4), run(1, 0, 4)]);
    assert_eq!(take(&mut free, 7), None);
    assert_eq!(take(&mut free, 2), Some(run(0, 8, 2)));
    free.give(run(0, 0, 4));
    free.give(run(0, 8, 2));
    assert_eq!(free.iter().count(), 3);
    free.give(run(0, 4, 4));
    assert!(free.is_valid());
    assert_eq!(
        free.iter().collect::<Vec<_>>(),
        [run(0, 0, 10), run(1, 4, 6)]
    );
    let fits = |units, count| free.fits(&Fit::new(units, 1), count);
    assert_eq!((fits(5, 9), fits(3, 9)), (3, 5));
    assert_eq!(fits(3, 4), 4);
}

fn take(free: &mut FreeRuns, units: u32) -> Option<Run> {
    free.take(&mut Fit::new(units, 1))
}

#[test]
fn free_runs_are_passed_once_for_many_buffers() {
    let mut free = FreeRuns::default();
    // A thousand runs that are too short, then one that is not.
    (0..1000).for_each(|at| free.give(run(0, at * 8, 4)));
    free.give(run(0, 8000, 1000));
    let before = free.looks();
    let mut fit = Fit::new(8, 8);
    let taken: Vec<_> = (0..50).map_while(|_| free.take(&mut fit)).collect();
    assert_eq!((taken.len(), taken[49]), (50, run(0, 8000 + 49 * 8, 8)));
    assert!(
        free.looks() - before < 1000 + 2 * 50,
        "{}",
        free.looks() - before
    );
    assert!(free.is_valid());
}

#[test]
fn free_runs_that_are_short_are_summed_as_they_change() {
    let mut free = FreeRuns::default();
    free.set_largest_class(8);
    free.give(run(0, 0, 20));
    let at: Vec<_> = (0..5).map(|_| take(&mut free, 4).unwrap()).collect();
    free.give(at[0]);
    free.give(at[2]);
    assert_eq!((free.short(), free.total()), (8, 8));
    free.give(at[1]);
    assert_eq!((free.short(), free.total()), (0, 12));
    free.set_largest_class(16);
    assert_eq!((free.short(), free.is_valid()), (12, true));
    let mut low = Fit {
        below: run(0, 0, 1).address_key(),
        ..Fit::new(1, 1)
    };
    assert_eq!((free.fits(&low, 9), free.take(&mut low)), (0, None));
}

#[test]
fn free_run_aligned_up_to_an_address_is_not_below_it() {
    let mut free = FreeRuns::default();
    free.give(run(0, 3, 9));
    let mut fit = Fit {
        below: run(0, 4, 1).address_key(),
        ..Fit::new(4, 4)
    };
    assert_eq!(free.take(&mut fit), None);
    let mut fit = Fit {
        below: run(0, 5, 1).address_key(),
        ..Fit::new(4, 4)
    };
    assert_eq!(free.take(&mut fit), Some(run(0, 4, 4)));
    assert!(free.is_valid());
}

#[test]
fn free_runs_that_touch_are_invalid() {
    let free = FreeRuns {
        runs: vec![run(0, 0, 2), run(0, 2, 2)],
        total: 4,
        ..FreeRuns::default()
    };
    assert!(!free.is_valid());
    let mut free = FreeRuns::default();
    free.give(run(0, 0, 2));
    assert!(free.is_valid());
    free.short += 1;
    assert!(!free.is_valid());
}
