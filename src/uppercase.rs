//! The transform: Unicode's full, locale-free upper case of bytes that may not be UTF-8.

#![allow(
    clippy::indexing_slicing,
    reason = "every index is below a length that stands beside it, and the tests go through every byte and character"
)]

use std::io::{self, Read, Write};
use std::sync::LazyLock;

/// Bytes of ASCII that are upper-cased together: enough to keep the processor's vector units busy.
const BLOCK: usize = 64;

/// Bytes that are looked at together where not all is ASCII: a vector of every 64-bit machine.
const VECTOR: usize = 16;

/// Bytes that [`copy`] reads at most at once; measured: more gains nothing, less costs system calls.
const CHUNK: usize = 64 * 1024;

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
#[must_use]
pub fn uppercase(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len() + BLOCK);
    uppercase_into(bytes, &mut output);
    output
}

/// Appends the upper case of all of `bytes` to `output`.
pub(crate) fn uppercase_into(bytes: &[u8], output: &mut Vec<u8>) {
    let cut = convert(bytes, output);
    output.extend_from_slice(cut);
}

/// Copies the upper case of everything in `reader` to `writer`, as it arrives, and returns the number of bytes read
/// and written.
///
/// The output does not depend on how the reads cut the input: a character split over two reads is held back until
/// the rest of it, at most three bytes, has arrived. Nothing else waits. Each read is written before the next.
///
/// # Errors
///
/// The first error of `reader` or `writer` that is not [`Interrupted`](io::ErrorKind::Interrupted).
///
/// # Examples
///
/// ```
/// let mut output = Vec::new();
/// let copied = uppercase_echo::copy("straße".as_bytes(), &mut output)?;
/// assert_eq!(output, b"STRASSE");
/// assert_eq!(copied, (7, 7));
/// # std::io::Result::Ok(())
/// ```
pub fn copy(reader: impl Read, writer: impl Write) -> io::Result<(u64, u64)> {
    let (mut read, mut written) = (0, 0);
    Buffers::default().copy(reader, writer, &mut read, &mut written)?;
    Ok((read, written))
}

/// What one thread needs to [`copy`] one stream after another: a chunk, and the longest upper case of one.
#[derive(Debug)]
pub(crate) struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        // The system hands these pages out only when they are first touched: short sentences never touch most of them.
        Self {
            input: vec![0; CHUNK],
            output: Vec::with_capacity(3 * CHUNK + BLOCK),
        }
    }
}

impl Buffers {
    /// As the function [`copy`], but adds to `received` and `sent` also before an error.
    pub(crate) fn copy(
        &mut self,
        mut reader: impl Read,
        mut writer: impl Write,
        received: &mut u64,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut held = 0;
        loop {
            let read = match reader.read(&mut self.input[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            *received += read as u64;
            let arrived = held + read;
            self.output.clear();
            let cut = convert(&self.input[..arrived], &mut self.output);
            held = cut.len();
            if read == 0 {
                self.output.extend_from_slice(cut);
            }
            writer.write_all(&self.output)?;
            *sent += self.output.len() as u64;
            if read == 0 {
                return Ok(());
            }
            self.input.copy_within(arrived - held..arrived, 0);
        }
    }
}

/// Appends to `output` the upper case of as much of `input` as is certain, and returns the rest: at most three bytes,
/// the beginning of a character whose end has not arrived and whose upper case may differ.
///
/// Only a few pairs of bytes can begin a character that has another upper case. A block without them is upper-cased as
/// ASCII, valid UTF-8 or not, since all else passes unchanged anyway; otherwise it goes character by character.
fn convert<'a>(mut input: &'a [u8], output: &mut Vec<u8>) -> &'a [u8] {
    let pages = &*PAGES;
    while !input.is_empty() {
        while let Some((block, rest)) = input.split_first_chunk::<BLOCK>() {
            if !block.is_ascii() {
                break;
            }
            append_ascii(block, output);
            input = rest;
        }
        match input.first_chunk::<{ VECTOR + 1 }>() {
            Some(window @ [block @ .., _]) if !may_change(window) => {
                append_ascii(block, output);
                input = &input[VECTOR..];
                continue;
            }
            None if input.is_ascii() => {
                output.extend(input.iter().map(u8::to_ascii_uppercase));
                return &[];
            }
            _ => {}
        }
        let rest = &input[input.len().min(VECTOR)..];
        while input.len() > rest.len() {
            let (page, last, width) = match *input {
                [byte, ..] if !may_begin(byte) => {
                    output.push(byte.to_ascii_uppercase());
                    input = &input[1..];
                    continue;
                }
                [a @ 0xC2..=0xDF, last, ..] => (bits(a, 0x1F), last, 2),
                [a @ 0xE1..=0xEF, b @ 0x80..=0xBF, last, ..] => {
                    (bits(a, 0x0F) << 6 | bits(b, 0x3F), last, 3)
                }
                [0xF0, b @ 0x90..=0x9F, c @ 0x80..=0xBF, last, ..] => {
                    (bits(b, 0x1F) << 6 | bits(c, 0x3F), last, 4)
                }
                _ if is_cut(input) => return input,
                _ => (0, 0, 1),
            };
            let page = pages.numbers[page];
            if page == 0 || last & 0xC0 != 0x80 {
                output.push(input[0]);
                input = &input[1..];
            } else {
                let entry = &pages.entries[usize::from(page)][bits(last, 0x3F)];
                output.extend_from_slice(entry);
                output.truncate(output.len() - entry.len() + usize::from(entry[LENGTH]));
                input = &input[width..];
            }
        }
    }
    input
}

/// Whether `byte` can begin a character, not ASCII, that has another upper case.
fn may_begin(byte: u8) -> bool {
    matches!(byte, 0xC2..=0xCA | 0xCD..=0xD6 | 0xE1 | 0xE2 | 0xEA | 0xEF | 0xF0)
}

fn append_ascii<const N: usize>(block: &[u8; N], output: &mut Vec<u8>) {
    let mut upper = *block;
    upper.make_ascii_uppercase();
    output.extend_from_slice(&upper);
}

/// The bits of `byte` that belong to the code point.
fn bits(byte: u8, mask: u8) -> usize {
    usize::from(byte & mask)
}

/// Whether `rest` is the beginning of a character and nothing but that.
fn is_cut(rest: &[u8]) -> bool {
    rest.len() < 4
        && std::str::from_utf8(rest)
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

#[allow(
    clippy::needless_bitwise_bool,
    reason = "a lazy `||` is a branch, which is not compiled to vector code"
)]
/// Whether a pair of neighbours in `window` may begin a character that has another upper case; yes too often rather
/// than too seldom.
fn may_change(window: &[u8; VECTOR + 1]) -> bool {
    window
        .iter()
        .zip(&window[1..])
        .fold(false, |found, (&a, &b)| {
            found
            | (0xC2..=0xD6).contains(&a)
            | (a == 0xE1)
            | ((a == 0xE2) & (b >= 0x85)) // before it: quotes, dashes, currency signs
            | ((a == 0xEA) & (b < 0xB0)) // from it: Hangul
            | ((a == 0xEF) & (b != 0xBC)) // full-width punctuation and capitals
            | ((a == 0xF0) & (b != 0x9F)) // emoji
        })
}

/// The upper case of every character that is not ASCII, built once, in a millisecond, from [`char::to_uppercase`].
static PAGES: LazyLock<Pages> = LazyLock::new(Pages::new);

/// Code points in pages of 64, so that the last byte of a character selects within its page: 33 KB.
struct Pages {
    /// The place in `entries` of each page, 0 for one without upper case.
    numbers: [u8; 2048],
    /// For each code point, its upper case in UTF-8, and in the last byte its length: at most 6, U+0390's and U+03B0's.
    entries: Vec<[[u8; 8]; 64]>,
}

/// Where an entry of [`Pages`] has its length.
const LENGTH: usize = 7;

impl Pages {
    fn new() -> Self {
        let mut pages = Self {
            numbers: [0; 2048],
            entries: vec![[[0; 8]; 64]],
        };
        for (page, number) in pages.numbers.iter_mut().enumerate().skip(2) {
            let mut entries = [[0; 8]; 64];
            let mut changes = false;
            for (code_point, entry) in (page as u32 * 64..).zip(&mut entries) {
                let Some(character) = char::from_u32(code_point) else {
                    continue;
                };
                for upper in character.to_uppercase() {
                    let at = usize::from(entry[LENGTH]);
                    entry[LENGTH] += upper.encode_utf8(&mut entry[at..]).len() as u8;
                    changes |= upper != character;
                }
            }
            if changes {
                *number = pages.entries.len() as u8;
                pages.entries.push(entries);
            }
        }
        pages
    }
}
