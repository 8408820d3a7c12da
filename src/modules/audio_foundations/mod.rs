//! Re-blocking, level and pitch on pooled buffers.

mod level;
mod note;
mod pitch;

pub use level::{FLOOR_DBFS, Level};
pub use note::{A4_HZ, Note, NoteError};
pub use pitch::{HIGHEST_HZ, LOWEST_HZ, Pitch, PitchDetector, PitchWork};
