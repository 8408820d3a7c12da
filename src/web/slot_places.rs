//! Where the pool's buffers are, for JavaScript, which knows them by number.

use crate::modules::data_management::PoolControl;

/// Where a slot's samples are.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotPlace {
    pub(super) address: usize,
    pub(super) samples: usize,
}

/// Every slot's place, by number.
pub(super) fn places(control: &PoolControl) -> Box<[SlotPlace]> {
    let mut places = Vec::new();
    for slot in control.slots() {
        let index = slot.index as usize;
        if places.len() <= index {
            places.resize(
                index + 1,
                SlotPlace {
                    address: 0,
                    samples: 0,
                },
            );
        }
        places[index] = SlotPlace {
            address: slot.address,
            samples: slot.samples,
        };
    }
    places.into_boxed_slice()
}
