//! What upper case is, for bytes at hand and for a stream.
//!
//! This file is the definition, written plainly. It is slow for long text, so first it lets
//! [`fast::leading`] convert as much as it can. Nothing else depends on `fast`: if `leading` did
//! nothing and returned 0, every result would be the same.

use std::io::{self, Read, Write};
use std::str;

use crate::retry::retry_interrupted;

mod fast;

/// The upper case of a text has at most this many times its bytes. U+0390 grows from 2 bytes to 6
/// (Unicode 17).
pub(crate) const MAX_GROWTH_FACTOR: usize = 3;

/// How many bytes [`copy_uppercase`] reads at once. With more it is not faster, and with less it
/// makes more system calls.
const CHUNK: usize = 64 * 1024;

/// Returns the upper case of `bytes`.
///
/// Each character becomes what [`char::to_uppercase`] says: Unicode's full mapping, without a
/// locale and without looking at the characters around it. Bytes that are not UTF-8 stay as they
/// are. The length may change (`ı` has two bytes, `I` one), but the result is at most 3 times as
/// long, and for ASCII exactly as long.
///
/// See [`copy_uppercase`] for a stream.
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
    let converted = append_finished(bytes, &mut output);
    // An unfinished character at the end is not UTF-8, and stays as it is.
    output.extend_from_slice(&bytes[converted..]);
    output
}

/// Copies the upper case of everything in `reader` to `writer`, as it arrives.
///
/// What one read brings is converted and written before the next read. Only a character that a read
/// has cut may wait for its end: at most three bytes. So the output does not depend on how the
/// reads cut the input. At the end of `reader`, an unfinished character is written as it is, and
/// `writer` is flushed.
///
/// # Errors
///
/// The first error of `reader` or `writer`. A read or write that says
/// [`Interrupted`](io::ErrorKind::Interrupted) is repeated.
///
/// # Examples
///
/// ```
/// use uppercase_echo::copy_uppercase;
///
/// let mut output = Vec::new();
/// copy_uppercase("straße".as_bytes(), &mut output)?;
/// assert_eq!(output, b"STRASSE");
/// # std::io::Result::Ok(())
/// ```
pub fn copy_uppercase(mut reader: impl Read, mut writer: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut upper_case = Vec::with_capacity(CHUNK);
    // How many bytes at the front of `buffer` are the beginning of a character that a read has cut:
    // at most three, so a read always has room.
    let mut held_back = 0;
    loop {
        let read = retry_interrupted(|| reader.read(&mut buffer[held_back..]))?;
        if read == 0 {
            writer.write_all(&buffer[..held_back])?;
            return writer.flush();
        }
        let filled = held_back + read;
        upper_case.clear();
        let converted = append_finished(&buffer[..filled], &mut upper_case);
        writer.write_all(&upper_case)?;
        // The bytes of a cut character move to the front, and the next read continues them there.
        buffer.copy_within(converted..filled, 0);
        held_back = filled - converted;
    }
}

/// Appends the upper case of `bytes` to `output`, except an unfinished character at their end: its
/// upper case depends on the next bytes. Returns how many of `bytes` it has converted.
fn append_finished(bytes: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = fast::leading(bytes, output);
    while done < bytes.len() {
        let converted = append_first(&bytes[done..], output);
        if converted == 0 {
            break;
        }
        done += converted;
    }
    done
}

/// Appends the upper case of the first character of `bytes`, or the wrong bytes there (not UTF-8)
/// unchanged. Returns how many bytes that was: 0 if `bytes` is empty, or is only the beginning of a
/// character.
fn append_first(bytes: &[u8], output: &mut Vec<u8>) -> usize {
    // The first character is in the first four bytes: none is longer.
    let window = &bytes[..bytes.len().min(4)];
    // A chunk is valid text followed by wrong bytes. Each of the two may be empty.
    let Some(chunk) = window.utf8_chunks().next() else {
        return 0;
    };
    if let Some(character) = chunk.valid().chars().next() {
        for upper in character.to_uppercase() {
            // `encode_utf8` needs four bytes of room, and returns what it has written there.
            output.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
        }
        return character.len_utf8();
    }
    // `window` does not begin with a whole character. `utf8_chunks` does not say whether its bytes
    // are wrong or only cut; `from_utf8` does, with `None`.
    if str::from_utf8(window).is_err_and(|error| error.error_len().is_none()) {
        return 0;
    }
    // Wrong bytes stay as they are.
    output.extend_from_slice(chunk.invalid());
    chunk.invalid().len()
}

#[cfg(test)]
mod tests {
    use super::append_first;

    /// Converts one character after the other, without the fast layer.
    #[track_caller]
    fn check(input: &[u8], expected: &[u8], unfinished: &[u8]) {
        let mut output = Vec::new();
        let mut rest = input;
        loop {
            let converted = append_first(rest, &mut output);
            if converted == 0 {
                break;
            }
            rest = &rest[converted..];
        }
        assert_eq!(output, expected, "{input:x?}");
        assert_eq!(rest, unfinished, "{input:x?}");
    }

    #[test]
    fn one_character_after_the_other() {
        check(b"", b"", b"");
        check("aßx".as_bytes(), b"ASSX", b"");
        check(
            "\u{390}한😀".as_bytes(),
            "\u{399}\u{308}\u{301}한😀".as_bytes(),
            b"",
        );
        check(b"\xFFa", b"\xFFA", b"");
        check(b"\xC3\xC3\xA9", b"\xC3\xC3\x89", b"");
        check(b"\xE1\x83a\xED\xA0\x80", b"\xE1\x83A\xED\xA0\x80", b"");
        check(b"a\xC3", b"A", b"\xC3");
        check(b"a\xF0\x90\x90", b"A", b"\xF0\x90\x90");
        check(b"a\xC3\xF0\x90", b"A\xC3", b"\xF0\x90");
    }
}
