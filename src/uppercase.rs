//! What upper case is, for bytes at hand and for a stream.
//!
//! This file is the definition, written plainly. It is slow for long text, so before each character it lets
//! [`fast::leading`] convert as much as that can. Nothing else depends on `fast`: if `leading` always returned 0,
//! every result would be the same.

use std::io::{self, Read, Write};
use std::str;

use crate::retry::retry_interrupted;

mod fast;

/// An upper case is at most this many times as long as its text: U+0390 grows from 2 bytes to 6 (Unicode 17).
pub(crate) const LONGEST_GROWTH: usize = 3;

/// Bytes that [`copy`] reads at once: measured, more gains nothing, and less costs system calls.
const CHUNK: usize = 64 * 1024;

/// Returns the upper case of `bytes`.
///
/// Each character becomes what [`char::to_uppercase`] says: Unicode's full mapping, without a locale and without
/// looking at the characters around it. Bytes that are not UTF-8 stay what and where they are. The length may change
/// (`ß` becomes `SS`), but the result is at most 3 times as long, and for ASCII exactly as long.
///
/// See [`copy`] for a stream.
///
/// # Examples
///
/// ```
/// use uppercase_echo::uppercase;
///
/// assert_eq!(uppercase("hello, straße".as_bytes()), b"HELLO, STRASSE");
/// assert_eq!(uppercase(b"not \xFF utf-8"), b"NOT \xFF UTF-8");
/// ```
pub fn uppercase(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len());
    append_uppercase(bytes, Follow::Nothing, &mut output);
    output
}

/// Copies the upper case of everything in `reader` to `writer`, as it arrives.
///
/// What one read brings is converted and written before the next read. Only a character that a read has cut waits for
/// its end: at most three bytes. So the output does not depend on how the reads cut the input. At the end of `reader`,
/// an unfinished character is written as it is.
///
/// # Errors
///
/// The first error of `reader` or `writer`, except [`Interrupted`](io::ErrorKind::Interrupted), after which the call
/// is made again.
///
/// # Examples
///
/// ```
/// use uppercase_echo::copy;
///
/// let mut output = Vec::new();
/// copy("straße".as_bytes(), &mut output)?;
/// assert_eq!(output, b"STRASSE");
/// # std::io::Result::Ok(())
/// ```
pub fn copy(reader: impl Read, writer: impl Write) -> io::Result<()> {
    Copier::new().copy(reader, writer)
}

/// The buffers of [`copy`], for those who copy again and again.
pub(crate) struct Copier {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Copier {
    pub(crate) fn new() -> Self {
        Self {
            input: vec![0; CHUNK],
            output: Vec::with_capacity(LONGEST_GROWTH * CHUNK),
        }
    }

    /// See [`copy`].
    pub(crate) fn copy(&mut self, mut reader: impl Read, mut writer: impl Write) -> io::Result<()> {
        // Bytes at the beginning of `input` that the last round has left: an unfinished character.
        let mut held_back = 0;
        loop {
            let read = retry_interrupted(|| reader.read(&mut self.input[held_back..]))?;
            let follow = if read == 0 {
                Follow::Nothing
            } else {
                Follow::Maybe
            };
            let filled = held_back + read;
            self.output.clear();
            let converted = append_uppercase(&self.input[..filled], follow, &mut self.output);
            writer.write_all(&self.output)?;
            if read == 0 {
                return Ok(());
            }
            self.input.copy_within(converted..filled, 0);
            held_back = filled - converted;
        }
    }
}

/// What may come after the bytes at hand.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Follow {
    /// They are the end: an unfinished character stays unfinished.
    Nothing,
    /// More of the stream: an unfinished character may be finished by it.
    Maybe,
}

/// Appends the upper case of `input` to `output`, and returns how many bytes of `input` that took: all, or all but an
/// unfinished character at the end that may be finished by what follows.
pub(crate) fn append_uppercase(input: &[u8], follow: Follow, output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    loop {
        done += fast::leading(&input[done..], output);
        let rest = &input[done..];
        // No character is longer than four bytes. A chunk is some characters and then some bytes that are none.
        let window = &rest[..rest.len().min(4)];
        let Some(chunk) = window.utf8_chunks().next() else {
            return done;
        };
        if let Some(character) = chunk.valid().chars().next() {
            for upper in character.to_uppercase() {
                output.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
            }
            done += character.len_utf8();
        } else if follow == Follow::Maybe && is_unfinished(rest) {
            return done;
        } else {
            output.extend_from_slice(chunk.invalid());
            done += chunk.invalid().len();
        }
    }
}

/// Whether `bytes` are the beginning of one character, and nothing else.
fn is_unfinished(bytes: &[u8]) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
    }
}
