//! The transform: Unicode's full, locale-free upper case of bytes that may not be UTF-8.

use std::io::{self, Read, Write};
use std::sync::LazyLock;
use std::{array, str};

use crate::retry::retry;

/// Bytes of ASCII that are upper-cased together: measured, a quarter of it costs a fifth of the speed.
const BLOCK: usize = 256;

/// Bytes that are looked at together where not all is ASCII: a vector of every 64-bit machine.
const VECTOR: usize = 16;

/// Bytes that [`copy`] reads at most at once: measured, more gains nothing, less costs system calls.
const CHUNK: usize = 64 * 1024;

/// Bytes of an entry in the table, which is written whole: a load and a store.
const ENTRY: usize = 8;

/// Returns the upper case of `bytes`, as [`char::to_uppercase`] has it for every character.
///
/// This is Unicode's full mapping, without a locale and without context, so the length may change: `ß` becomes `SS`.
/// The answer is at most 3 times as long, and exactly as long for ASCII. Bytes that are not UTF-8 stay as and where
/// they are.
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
    let mut output = Vec::with_capacity(bytes.len() + ENTRY);
    convert(bytes, true, &mut output);
    output
}

/// Returns the input and output buffers of [`copy`]: 64 KiB, and 192 KiB for the longest upper case of them.
pub fn buffers() -> (Vec<u8>, Vec<u8>) {
    (vec![0; CHUNK], Vec::with_capacity(3 * CHUNK + ENTRY))
}

/// Copies the upper case of everything in `reader` to `writer`, as it arrives.
///
/// The output does not depend on how the reads cut the input: the beginning of a character whose upper case may differ,
/// at most three bytes, is held back until the rest has arrived. Nothing else waits. Each read is written before the
/// next, and `report` is told the bytes of both; the last read is empty. The buffers are those of [`buffers`]: others
/// may be too short for a read.
///
/// # Errors
///
/// The first error of `reader` or `writer` that is not [`Interrupted`](io::ErrorKind::Interrupted).
///
/// # Examples
///
/// ```
/// use uppercase_echo::{buffers, copy};
///
/// let mut output = Vec::new();
/// copy("straße".as_bytes(), &mut output, &mut buffers(), |_, _| {})?;
/// assert_eq!(output, b"STRASSE");
/// # std::io::Result::Ok(())
/// ```
pub fn copy(
    mut reader: impl Read,
    mut writer: impl Write,
    (input, output): &mut (Vec<u8>, Vec<u8>),
    report: impl Fn(usize, usize),
) -> io::Result<()> {
    let mut held = 0;
    loop {
        let read = retry(|| reader.read(&mut input[held..]))?;
        let arrived = held + read;
        output.clear();
        held = convert(&input[..arrived], read == 0, output).len();
        writer.write_all(output)?;
        report(read, output.len());
        // The end of the input: on a connection, the client's half-close.
        if read == 0 {
            return Ok(());
        }
        input.copy_within(arrived - held..arrived, 0);
    }
}

/// Appends to `output` the upper case of as much of `input` as is certain, and returns the rest: nothing if `is_all`,
/// else at most three bytes, the beginning of a character whose end has not arrived and whose upper case may differ.
///
/// Only few bytes can begin a character that has another upper case. All others are upper-cased as ASCII, valid UTF-8
/// or not, since they pass unchanged otherwise: by the block where all is ASCII, by the vector where no byte is one of
/// the few, and else character by character.
pub(crate) fn convert<'a>(mut input: &'a [u8], is_all: bool, output: &mut Vec<u8>) -> &'a [u8] {
    let upper = &**UPPER;
    while !input.is_empty() {
        let block = &input[..input.len().min(BLOCK)];
        if block.is_ascii() {
            output.extend(block.iter().map(u8::to_ascii_uppercase));
            input = &input[block.len()..];
            continue;
        }
        if input.first_chunk().is_some_and(is_caseless) {
            let upper: [u8; VECTOR] = array::from_fn(|at| input[at].to_ascii_uppercase());
            output.extend_from_slice(&upper);
            input = &input[VECTOR..];
            continue;
        }
        let rest = input.len().saturating_sub(VECTOR);
        while input.len() > rest {
            if let Some((code_point, width)) = decode(input) {
                let bytes = &upper[code_point];
                let end = output.len() + usize::from(bytes[ENTRY - 1]);
                output.extend_from_slice(bytes);
                output.truncate(end);
                input = &input[width..];
            } else if !is_all && is_cut(input) {
                return input;
            } else {
                output.push(input[0].to_ascii_uppercase());
                input = &input[1..];
            }
        }
    }
    input
}

/// Whether none of the first 16 bytes begins a character that has another upper case, judged with the byte that
/// follows; a wrong no only costs time. A lazy `&&` or `||` would be a branch, which is not compiled to vector code.
fn is_caseless(window: &[u8; VECTOR + 1]) -> bool {
    let mut found = false;
    for (&a, &b) in window.iter().zip(&window[1..]) {
        found |= (0xC2..=0xD6).contains(&a)
            | (a == 0xE1)
            | ((a == 0xE2) & (b >= 0x85)) // before it: quotes, dashes, currency signs
            | ((a == 0xEA) & (b < 0xB0)) // from it: Hangul
            | ((a == 0xEF) & (b != 0xBC)) // full-width punctuation and capitals
            | ((a == 0xF0) & (b != 0x9F)); // emoji
    }
    !found
}

/// Whether `byte` can begin a character, not ASCII, that has another upper case.
fn may_begin(byte: u8) -> bool {
    matches!(byte, 0xC2..=0xCA | 0xCD..=0xD6 | 0xE1 | 0xE2 | 0xEA | 0xEF | 0xF0)
}

/// Returns the code point of the character that `input` begins with and its width in bytes, if it is whole and may have
/// another upper case.
fn decode(input: &[u8]) -> Option<(usize, usize)> {
    let join = |lead: u8, rest: &[u8]| {
        let bits = |bits, byte| bits << 6 | usize::from(byte & 0x3F);
        Some((rest.iter().fold(usize::from(lead), bits), 1 + rest.len()))
    };
    match *input {
        [a, ..] if !may_begin(a) => None,
        [a @ ..=0xDF, b @ 0x80..=0xBF, ..] => join(a & 0x1F, &[b]),
        [a @ ..=0xEF, b @ 0x80..=0xBF, c @ 0x80..=0xBF, ..] => join(a & 0x0F, &[b, c]),
        [0xF0, b @ 0x90..=0x9F, c @ 0x80..=0xBF, d @ 0x80..=0xBF, ..] => join(0, &[b, c, d]),
        _ => None,
    }
}

/// Whether `rest` is the beginning of a character and nothing but that.
fn is_cut(rest: &[u8]) -> bool {
    let is_short = rest.len() < 4 && may_begin(rest[0]);
    is_short && str::from_utf8(rest).is_err_and(|e| e.error_len().is_none())
}

/// The upper case of every character of the two planes that have any, by code point: 1 MiB, built once, in a few ms. An
/// entry is UTF-8, at most 6 bytes (U+0390's and U+03B0's), and in the last byte their number.
static UPPER: LazyLock<Box<[[u8; ENTRY]]>> = LazyLock::new(|| {
    let entry = |code_point| {
        let mut bytes = [0; ENTRY];
        let upper = char::from_u32(code_point).map(char::to_uppercase);
        for character in upper.into_iter().flatten() {
            let at = usize::from(bytes[ENTRY - 1]);
            bytes[ENTRY - 1] += character.encode_utf8(&mut bytes[at..]).len() as u8;
        }
        bytes
    };
    (0..0x2_0000).map(entry).collect()
});
