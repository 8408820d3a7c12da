use super::*;

fn plan(is_learned: bool) -> ClassPlan {
    ClassPlan::new(vec![(64, 2), (256, 4)], is_learned, 0, OnRelease::Leave)
}

#[test]
fn changed_classes_keep_their_numbers_of_buffers() {
    let mut plan = plan(false);
    plan.set_sizes(&[64, 128]);
    assert_eq!(plan.classes, [(64, 2), (128, 0)]);
    let unknown = PoolError::UnknownClass {
        samples: 100,
        nearest: 128,
    };
    assert_eq!((plan.known(128), plan.known(100)), (Ok(128), Err(unknown)));
}

#[test]
fn classes_must_ascend_and_be_covered_by_the_look_up() {
    let plan = plan(false);
    assert_eq!(plan.check_change(&[16, 256]), Ok(()));
    for bad in [&[][..], &[0, 16], &[16, 16], &[32, 16], &[1; 17]] {
        let refused = plan.check_change(bad);
        assert!(
            matches!(refused, Err(PoolError::BadClasses { .. })),
            "{bad:?}"
        );
    }
    for large in [257, MAX_SAMPLES + 1] {
        let refused = plan.check_change(&[large]);
        assert!(
            matches!(refused, Err(PoolError::TooLarge { .. })),
            "{large}"
        );
    }
}

#[test]
fn attached_mixes_are_added_up_without_own_and_learned_ones() {
    let mut plan = plan(false);
    plan.note_attached(0, &[(64, 2), (256, 4)], false);
    plan.note_attached(1, &[(64, 9)], true);
    plan.note_attached(2, &[(64, 1)], false);
    assert!(plan.follows_demand(0) && !plan.follows_demand(1));
    assert_eq!(plan.take_attached(), [(64, 3), (256, 4)]);
    assert_eq!(plan.take_attached(), []);
    plan.note_attached(1, &[(64, 1)], false);
    assert!(plan.follows_demand(1));
    let mut learned = self::plan(true);
    learned.note_attached(0, &[(64, 2)], false);
    assert_eq!(learned.take_attached(), []);
}
