//! Frequencies and note names, equal temperament, A4 = 440 Hz.

use core::fmt;
use core::str::FromStr;

use serde::{Serialize, Serializer};

/// The reference pitch in hertz (ISO 16).
pub const A4_HZ: f32 = 440.0;
const A4_NUMBER: f32 = 69.0;
const NAMES: [&str; 12] = [
    "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B",
];

/// A note of the equal-tempered scale, by its MIDI number (0 = C-1, 69 = A4, 127 = G9). Serialises as its
/// name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Note(u8);

/// Why a text is not a note name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a note from C-1 to G9 written like A4, D#3 or Bb2")]
pub struct NoteError;

impl Note {
    /// The note with this MIDI number, `None` above 127.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number <= 127 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The nearest note, and the distance of `hz` above it in cents (-50 to 50).
    ///
    /// `None` if `hz` is not positive and finite, or outside the MIDI range.
    ///
    /// # Real-time
    /// No allocation, no lock, one logarithm.
    ///
    /// # Examples
    /// ```
    /// use wavepool::modules::audio_foundations::Note;
    /// let (note, cents) = Note::nearest(442.0).unwrap();
    /// assert_eq!(note.to_string(), "A4");
    /// assert!((cents - 7.85).abs() < 0.01);
    /// ```
    #[must_use]
    pub fn nearest(hz: f32) -> Option<(Self, f32)> {
        if !(hz.is_finite() && hz > 0.0) {
            return None;
        }
        let exact = A4_NUMBER + 12.0 * (hz / A4_HZ).log2();
        let number = exact.round();
        (0.0..=127.0)
            .contains(&number)
            .then_some((Self(number as u8), 100.0 * (exact - number)))
    }

    /// MIDI number, 0 to 127.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Frequency in hertz.
    #[must_use]
    pub fn hz(self) -> f32 {
        A4_HZ * ((f32::from(self.0) - A4_NUMBER) / 12.0).exp2()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octave = i16::from(self.0 / 12) - 1;
        write!(f, "{}{octave}", NAMES[usize::from(self.0 % 12)])
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut chars = text.chars();
        let letter = chars.next().ok_or(NoteError)?;
        let natural = NAMES
            .iter()
            .position(|name| name.len() == 1 && name.starts_with(letter))
            .ok_or(NoteError)? as i32;
        let rest = chars.as_str();
        let (accidental, octave) = match rest.chars().next() {
            Some('#') => (1, &rest[1..]),
            Some('b') => (-1, &rest[1..]),
            _ => (0, rest),
        };
        let octave: i32 = octave.parse().map_err(|_| NoteError)?;
        octave
            .checked_add(1)
            .and_then(|octaves| octaves.checked_mul(12))
            .and_then(|base| base.checked_add(natural + accidental))
            .and_then(|number| u8::try_from(number).ok())
            .and_then(Self::from_number)
            .ok_or(NoteError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_names_of_known_frequencies() {
        for (hz, name) in [
            (27.5, "A0"),
            (55.0, "A1"),
            (261.63, "C4"),
            (440.0, "A4"),
            (2093.0, "C7"),
            (4186.0, "C8"),
            (8.18, "C-1"),
        ] {
            let (note, cents) = Note::nearest(hz).unwrap();
            assert_eq!(note.to_string(), name);
            assert!(cents.abs() < 1.0, "{hz} Hz: {cents} cents");
        }
    }

    #[test]
    fn note_round_trips_through_name_and_frequency() {
        for number in 0..=127 {
            let note = Note::from_number(number).unwrap();
            assert_eq!(note.to_string().parse(), Ok(note));
            let (back, cents) = Note::nearest(note.hz()).unwrap();
            assert_eq!(back, note);
            assert!(cents.abs() < 0.05);
        }
        assert_eq!(Note::from_number(128), None);
    }

    #[test]
    fn note_names_with_flats_equal_those_with_sharps() {
        assert_eq!("Bb2".parse::<Note>(), "A#2".parse::<Note>());
        assert_eq!("Cb4".parse::<Note>(), "B3".parse::<Note>());
    }

    #[test]
    fn invalid_note_names_and_frequencies_are_refused() {
        for text in [
            "",
            "H4",
            "A",
            "A#",
            "a4",
            "A10",
            "Cb-1",
            "A4 ",
            "é4",
            "Aé",
            "A999999999",
        ] {
            assert_eq!(text.parse::<Note>(), Err(NoteError), "{text:?}");
        }
        for hz in [0.0, -1.0, f32::NAN, f32::INFINITY, 1.0, 20_000.0] {
            assert_eq!(Note::nearest(hz), None, "{hz}");
        }
    }
}
