//! What a run does: operations on the pool, and how they are drawn.

use proptest::prelude::*;

use crate::twin::CLASSES;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Acquire {
        half: usize,
        samples: usize,
        critical: bool,
    },
    Silent {
        half: usize,
        samples: usize,
    },
    Planar {
        half: usize,
        channels: usize,
        frames: usize,
    },
    Scratch {
        half: usize,
        samples: usize,
    },
    Write {
        handle: usize,
        value: i8,
    },
    Freeze {
        handle: usize,
    },
    Clone {
        handle: usize,
    },
    Drop {
        handle: usize,
        elsewhere: bool,
    },
    Release {
        handle: usize,
        half: usize,
    },
    Lease {
        handle: usize,
    },
    View {
        lease: usize,
    },
    EndView {
        lease: usize,
    },
    Share {
        lease: usize,
    },
    EndLease {
        lease: usize,
    },
    Forged {
        number: u32,
    },
    Grow {
        class: usize,
        count: u32,
    },
    Trim {
        class: usize,
        keep: u32,
    },
    Replenish {
        class: usize,
        idle: u32,
    },
    Shrink {
        class: usize,
        buffers: u32,
    },
    SetClasses {
        classes: usize,
    },
    Step {
        budget: u32,
    },
    Defragment,
    Quantum {
        half: usize,
    },
    Attach,
    Detach {
        half: usize,
    },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let (pick, class) = (0usize..64, 0usize..CLASSES.len());
    let samples = 0usize..300;
    prop_oneof![
        6 => (pick.clone(), samples.clone(), any::<bool>())
            .prop_map(|(half, samples, critical)| Op::Acquire { half, samples, critical }),
        2 => (pick.clone(), samples.clone()).prop_map(|(half, samples)| Op::Silent { half, samples }),
        2 => (pick.clone(), 0usize..5, samples.clone())
            .prop_map(|(half, channels, frames)| Op::Planar { half, channels, frames }),
        2 => (pick.clone(), samples).prop_map(|(half, samples)| Op::Scratch { half, samples }),
        3 => (pick.clone(), any::<i8>()).prop_map(|(handle, value)| Op::Write { handle, value }),
        3 => pick.clone().prop_map(|handle| Op::Freeze { handle }),
        3 => pick.clone().prop_map(|handle| Op::Clone { handle }),
        6 => (pick.clone(), prop::bool::weighted(0.1))
            .prop_map(|(handle, elsewhere)| Op::Drop { handle, elsewhere }),
        3 => (pick.clone(), pick.clone()).prop_map(|(handle, half)| Op::Release { handle, half }),
        3 => pick.clone().prop_map(|handle| Op::Lease { handle }),
        2 => pick.clone().prop_map(|lease| Op::View { lease }),
        1 => pick.clone().prop_map(|lease| Op::EndView { lease }),
        1 => pick.clone().prop_map(|lease| Op::Share { lease }),
        3 => pick.clone().prop_map(|lease| Op::EndLease { lease }),
        2 => any::<u32>().prop_map(|number| Op::Forged { number }),
        1 => (class.clone(), 1u32..6).prop_map(|(class, count)| Op::Grow { class, count }),
        1 => (class.clone(), 0u32..4).prop_map(|(class, keep)| Op::Trim { class, keep }),
        1 => (class.clone(), 0u32..6).prop_map(|(class, idle)| Op::Replenish { class, idle }),
        1 => (class, 1u32..6).prop_map(|(class, buffers)| Op::Shrink { class, buffers }),
        1 => (1usize..8).prop_map(|classes| Op::SetClasses { classes }),
        3 => (0u32..12).prop_map(|budget| Op::Step { budget }),
        1 => Just(Op::Defragment),
        4 => pick.clone().prop_map(|half| Op::Quantum { half }),
        1 => Just(Op::Attach),
        1 => pick.prop_map(|half| Op::Detach { half }),
    ]
}
