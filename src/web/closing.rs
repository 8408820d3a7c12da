//! What becomes of a stream that was closed while its threads may still run.
//!
//! A stream's half of the pool is kept until both its worklet and its consumer have ended: only then is it known that
//! nobody holds a buffer of it, and what a thread lost in the middle of a change can be told from what another one holds
//! (`docs/decisions/0014-half-of-a-dead-owner-is-rebuilt-from-memory.md`).
#![allow(unsafe_code)] // Takes over from threads that have ended.

use super::exports::{Lent, Returned, ThreadEnd};
use super::host::Host;
use super::reader::Reader;
use super::tap::Tap;
use crate::modules::data_management::{DataManagementModule, PoolControl, RealtimePool};

/// The windows' half of the pool, once its worklet has ended.
enum WindowsHalf {
    /// As the worklet left it.
    Whole(Option<RealtimePool>),
    /// The worklet ended in the middle of a change.
    Broken(u16),
}

/// A stream of the shared memory that was closed.
pub(super) struct Closing {
    /// None once its worklet has ended.
    tap: Option<Lent<Tap>>,
    half: Option<WindowsHalf>,
    /// None once its consumer has ended, or if it has none.
    reader: Option<Lent<Reader>>,
    holder: Option<u8>,
    /// The consumer ended in the middle of a change.
    reader_broken: bool,
}

impl Closing {
    pub(super) fn new(tap: Lent<Tap>, reader: Option<(Lent<Reader>, u8)>) -> Self {
        let (reader, holder) = reader.unzip();
        Self {
            tap: Some(tap),
            half: None,
            reader,
            holder,
            reader_broken: false,
        }
    }

    /// # Safety
    /// As for [`Lent::take_back`], for each of the two threads.
    unsafe fn end(&mut self, worklet: ThreadEnd, consumer: ThreadEnd) {
        let tap = self.tap.take();
        // SAFETY: the caller vouches for the end of the worklet's thread.
        match tap.map(|tap| unsafe { tap.take_back(worklet) }) {
            Some(Ok(Returned::Whole(tap))) => self.half = Some(WindowsHalf::Whole(tap.close())),
            Some(Ok(Returned::Broken(tap))) => self.half = Some(WindowsHalf::Broken(tap.abandon())),
            Some(Err(running)) => self.tap = Some(running),
            None => {}
        }
        let reader = self.reader.take();
        // SAFETY: the caller vouches for the end of the consumer's thread.
        match reader.map(|reader| unsafe { reader.take_back(consumer) }) {
            Some(Ok(Returned::Whole(reader))) => drop(reader),
            Some(Ok(Returned::Broken(reader))) => {
                reader.abandon();
                self.reader_broken = true;
            }
            Some(Err(running)) => self.reader = Some(running),
            None => {}
        }
    }

    /// Whether its consumer may still hold windows.
    pub(super) const fn is_read(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether both threads have ended.
    fn has_ended(&self) -> bool {
        self.tap.is_none() && self.reader.is_none()
    }

    /// # Safety
    /// Both threads have ended, and nobody else holds a window of the stream.
    unsafe fn finish(self, control: Option<&mut PoolControl>) {
        let half = match self.half {
            Some(WindowsHalf::Broken(half)) => half,
            Some(WindowsHalf::Whole(Some(pool))) if self.reader_broken => pool.abandon().0,
            // Dropped as it is: every window has been released.
            _ => return,
        };
        if let Some(control) = control {
            // SAFETY: the half was abandoned, and so is whatever the two threads held of it, says the caller.
            unsafe { control.reclaim_all(half) };
        }
    }
}

impl Host {
    /// Ends what the threads of a closed stream were lent, as far as they have ended, and the stream with the last of them.
    ///
    /// # Safety
    /// As for [`Lent::take_back`], for each of the two threads.
    pub(super) unsafe fn end_threads(
        &mut self,
        stream: u32,
        worklet: ThreadEnd,
        consumer: ThreadEnd,
    ) {
        let Some(closing) = self.closing.get_mut(&stream) else {
            return;
        };
        // SAFETY: the caller's word.
        unsafe { closing.end(worklet, consumer) };
        if !closing.has_ended() {
            return;
        }
        if let Some(closing) = self.closing.remove(&stream) {
            if let Some(holder) = closing.holder {
                self.holders.give_back(holder);
            }
            let data = self.registry.get_mut::<DataManagementModule>();
            // SAFETY: both have ended; the analysis of a tuner's windows was dropped when the stream was closed, and a
            // reader's windows go to nobody else.
            unsafe { closing.finish(data.and_then(|data| data.control_mut())) };
        }
    }
}
