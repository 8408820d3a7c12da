//! The last panic's message, where JavaScript can read it after the trap: a panic on wasm ends in `unreachable`, which says nothing.
//!
//! Each thread has a note of its own: threads of one memory go on when one of them panics, and their errors are not its.
#![allow(unsafe_code)] // Exports by name.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};

const MOST_BYTES: usize = 512;

thread_local! {
    static TEXT: RefCell<[u8; MOST_BYTES]> = const { RefCell::new([0; MOST_BYTES]) };
    static LENGTH: Cell<usize> = const { Cell::new(0) };
}

/// Makes panics leave their message and place. A thread's first one counts: what follows are its consequences.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        if LENGTH.get() > 0 {
            return;
        }
        TEXT.with(|text| {
            if let Ok(mut text) = text.try_borrow_mut() {
                let mut cut = Cut {
                    text: &mut text,
                    used: 0,
                };
                // A full buffer ends the message early.
                let _ = write!(cut, "{panic}");
                LENGTH.set(cut.used);
            }
        });
    }));
}

/// Writes as much as fits.
struct Cut<'a> {
    text: &'a mut [u8; MOST_BYTES],
    used: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = &mut self.text[self.used..];
        let fits = part.len().min(room.len());
        room[..fits].copy_from_slice(&part.as_bytes()[..fits]);
        self.used += fits;
        if fits == part.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Address of this thread's message.
#[unsafe(no_mangle)]
extern "C" fn panic_note() -> usize {
    TEXT.with(|text| text.as_ptr().addr())
}

/// Bytes of this thread's message; 0 if it has not panicked.
#[unsafe(no_mangle)]
extern "C" fn panic_note_bytes() -> usize {
    LENGTH.get()
}
