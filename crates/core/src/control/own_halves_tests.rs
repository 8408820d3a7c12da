use crate::control::pool_control::settle;
use crate::{BufferPool, PoolError, SizingStep};

const GROW: SizingStep = SizingStep::Grow {
    class_samples: 64,
    buffers: 2,
};
const SHRINK: SizingStep = SizingStep::Shrink {
    class_samples: 64,
    buffers: 3,
};

#[test]
fn own_classes_are_those_of_attached_halves_with_buffers_or_requests() {
    let builder = BufferPool::builder().class(64, 4).class(256, 2);
    let (mut control, _first) = builder.limit_samples(1 << 14).build().unwrap();
    assert_eq!(control.own_classes().count(), 0);
    let own = control.attach_with(&[(64, 3)]).unwrap();
    let held = [own.acquire(50).unwrap(), own.acquire(64).unwrap()];
    assert!(own.acquire(200).is_err());
    let classes: Vec<_> = control.own_classes().collect();
    let counts = |samples| {
        let class = &classes.iter().find(|own| own.class.samples == samples);
        let class = &class.unwrap().class;
        (class.carved, class.leased, class.exhausted)
    };
    assert_eq!((counts(64), counts(256)), ((3, 2, 0), (0, 0, 1)));
    let attachment = classes[0].attachment;
    drop((held, own));
    assert_eq!(control.own_classes().count(), 0);
    let _again = control.attach_with(&[(64, 1)]).unwrap();
    let again = control.own_classes().next().unwrap();
    assert_eq!(again.half, classes[0].half);
    assert_ne!(again.attachment, attachment);
}

#[test]
fn step_for_one_half_changes_no_other() {
    let builder = BufferPool::builder().class(64, 4);
    let (mut control, _first) = builder.limit_samples(1 << 14).build().unwrap();
    let mut one = control.attach_with(&[(64, 4)]).unwrap();
    let other = control.attach_with(&[(64, 4)]).unwrap();
    control.apply_to_half(one.id(), &GROW).unwrap();
    let carved = |control: &crate::PoolControl, half| {
        let mut classes = control.own_classes();
        classes.find(|own| own.half == half).unwrap().class.carved
    };
    assert_eq!(carved(&control, one.id()), 6);
    assert_eq!(carved(&control, other.id()), 4);
    control.apply_to_half(one.id(), &SHRINK).unwrap();
    settle(&mut control, &mut one);
    assert_eq!(carved(&control, one.id()), 3);
    assert_eq!(carved(&control, other.id()), 4);
    assert_eq!(control.bytes_held(), (4 + 3 + 4) * 64 * 4);
    let refused = control.apply_to_half(99, &GROW);
    assert!(matches!(refused, Err(PoolError::NoHalf { .. })));
}
