//! Streams that were closed while their threads may still run.
//!
//! The pool half of a stream is kept until both its worklet and its consumer have ended. Only then is it known that no thread
//! uses a buffer of it, and only then can buffers that a thread lost inside a call be distinguished from those that the other
//! one uses
//! (`docs/decisions/0014-half-of-a-dead-owner-is-rebuilt-from-memory.md`).
#![allow(unsafe_code)] // Reclaims the objects of threads that have ended.

use crate::consumer::reader::Reader;
use crate::shared::exports::{Reclaimed, ThreadHandle, ThreadState};
use crate::worklet::tap::Tap;
use wavepool::modules::data_management::{PoolControl, RealtimePool};

/// The pool half of the windows after the worklet has ended.
enum WindowsHalf {
    /// The worklet was not inside a call.
    Attached(Option<RealtimePool>),
    /// The worklet was terminated inside a call: the number of the half, to be reclaimed.
    Abandoned(u16),
}

/// A closed stream of shared mode.
pub(crate) struct Closing {
    /// `None` after the worklet has ended.
    tap: Option<ThreadHandle<Tap>>,
    half: Option<WindowsHalf>,
    /// `None` after the consumer has ended, or if there is none.
    reader: Option<ThreadHandle<Reader>>,
    /// The holder's number in the reader's leases.
    pub(crate) holder: Option<u8>,
    /// Whether the consumer was terminated inside a call.
    reader_interrupted: bool,
}

impl Closing {
    pub(crate) fn new(tap: ThreadHandle<Tap>, reader: Option<(ThreadHandle<Reader>, u8)>) -> Self {
        let (reader, holder) = reader.unzip();
        Self {
            tap: Some(tap),
            half: None,
            reader,
            holder,
            reader_interrupted: false,
        }
    }

    /// Reclaims the tap and the reader, if their threads have ended.
    ///
    /// # Safety
    /// As for [`ThreadHandle::reclaim`], for each of the two threads.
    pub(crate) unsafe fn end(&mut self, worklet: ThreadState, consumer: ThreadState) {
        let tap = self.tap.take();
        // SAFETY: the caller guarantees the reported end of the worklet's thread.
        match tap.map(|tap| unsafe { tap.reclaim(worklet) }) {
            Some(Ok(Reclaimed::Consistent(tap))) => {
                self.half = Some(WindowsHalf::Attached(tap.close()))
            }
            Some(Ok(Reclaimed::Interrupted(tap))) => {
                self.half = Some(WindowsHalf::Abandoned(tap.abandon()))
            }
            Some(Err(running)) => self.tap = Some(running),
            None => {}
        }
        let reader = self.reader.take();
        // SAFETY: the caller guarantees the reported end of the consumer's thread.
        match reader.map(|reader| unsafe { reader.reclaim(consumer) }) {
            Some(Ok(Reclaimed::Consistent(reader))) => drop(reader),
            Some(Ok(Reclaimed::Interrupted(reader))) => {
                reader.abandon();
                self.reader_interrupted = true;
            }
            Some(Err(running)) => self.reader = Some(running),
            None => {}
        }
    }

    /// Whether the consumer may still have windows leased.
    pub(crate) const fn is_read(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether both threads have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.tap.is_none() && self.reader.is_none()
    }

    /// Drops or reclaims the pool half.
    ///
    /// # Safety
    /// Both threads have ended, and no other thread uses a window of the stream.
    pub(crate) unsafe fn finish(self, control: Option<&mut PoolControl>) {
        let half = match self.half {
            Some(WindowsHalf::Abandoned(half)) => half,
            Some(WindowsHalf::Attached(Some(pool))) if self.reader_interrupted => pool.abandon().0,
            // The drop of the half is enough: every window was released.
            _ => return,
        };
        if let Some(control) = control {
            // SAFETY: the half was abandoned, and the caller guarantees that no thread uses its buffers any more.
            unsafe { control.reclaim_all(half) };
        }
    }
}
