//! The last panic's message, where JavaScript can read it after the trap: a panic on wasm ends in `unreachable`, which says nothing.
#![allow(unsafe_code)] // A fixed buffer that the panic hook writes and JavaScript reads after the instance has stopped.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};

use crate::sync::atomic::{AtomicUsize, Ordering};

const MOST_BYTES: usize = 512;

struct Note {
    text: UnsafeCell<[u8; MOST_BYTES]>,
    /// Bytes written; `usize::MAX` while the hook writes.
    length: AtomicUsize,
}

// SAFETY: `text` is written only by the thread that moved `length` from 0 to the mark, and read after that thread stored it.
unsafe impl Sync for Note {}

static NOTE: Note = Note {
    text: UnsafeCell::new([0; MOST_BYTES]),
    length: AtomicUsize::new(0),
};

/// Makes panics leave their message and place. The first one counts: what follows are its consequences.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        // Acquire, release: one thread wins; pairs with the load in `panic_note_bytes`.
        if NOTE
            .length
            .compare_exchange(0, usize::MAX, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        // SAFETY: this thread alone moved `length` away from 0, and nobody moves it back.
        let text = unsafe { &mut *NOTE.text.get() };
        let mut cut = Cut { text, used: 0 };
        // A full buffer ends the message early.
        let _ = write!(cut, "{panic}");
        let used = cut.used;
        NOTE.length.store(used, Ordering::Release);
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

/// Address of the message.
#[unsafe(no_mangle)]
extern "C" fn panic_note() -> usize {
    NOTE.text.get() as usize
}

/// Bytes of the message; 0 if nothing panicked.
#[unsafe(no_mangle)]
extern "C" fn panic_note_bytes() -> usize {
    match NOTE.length.load(Ordering::Acquire) {
        usize::MAX => 0,
        length => length,
    }
}
