//! The transform again, many bytes at a time. The plain layer gives the same results without it.
//!
//! Only few bytes can begin a character that has another upper case. All others are upper-cased as ASCII, valid UTF-8
//! or not, since they pass unchanged otherwise: by the block where all is ASCII, by the vector where no byte is one of
//! the few, and else character by character, from a table.

use std::array;
use std::sync::LazyLock;

/// Bytes of ASCII that are upper-cased together: measured, a quarter of it costs a fifth of the speed.
const BLOCK: usize = 256;

/// Bytes that are looked at together where not all is ASCII: a vector of every 64-bit machine.
const VECTOR: usize = 16;

/// Bytes of an entry in the table, which is written whole: a load and a store.
const ENTRY: usize = 8;

/// Room that an output needs beyond its longest upper case, so that writing a whole entry never makes it grow.
pub(crate) const SPARE: usize = ENTRY;

/// Builds the table now. Otherwise the first text that needs it waits a few milliseconds for it.
pub(crate) fn build_table() {
    LazyLock::force(&UPPER);
}

/// Appends the upper case of the beginning of `input` to `output`: as much of it as is right whatever follows, and as
/// this file can convert. Returns how many bytes of `input` that was; it may be none.
pub(crate) fn leading(input: &[u8], output: &mut Vec<u8>) -> usize {
    let upper = &**UPPER;
    let mut rest = input;
    while !rest.is_empty() {
        let block = &rest[..rest.len().min(BLOCK)];
        if block.is_ascii() {
            output.extend(block.iter().map(u8::to_ascii_uppercase));
            rest = &rest[block.len()..];
            continue;
        }
        if rest.first_chunk().is_some_and(is_caseless) {
            let vector: [u8; VECTOR] = array::from_fn(|at| rest[at].to_ascii_uppercase());
            output.extend_from_slice(&vector);
            rest = &rest[VECTOR..];
            continue;
        }
        let end = rest.len().saturating_sub(VECTOR);
        while rest.len() > end {
            if let Some((code_point, width)) = decode(rest) {
                let entry = &upper[code_point];
                let length = output.len() + usize::from(entry[ENTRY - 1]);
                output.extend_from_slice(entry);
                output.truncate(length);
                rest = &rest[width..];
            } else if may_begin(rest[0]) {
                return input.len() - rest.len();
            } else {
                output.push(rest[0].to_ascii_uppercase());
                rest = &rest[1..];
            }
        }
    }
    input.len()
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
