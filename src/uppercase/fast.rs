//! A faster way to do what `uppercase.rs` does.
//!
//! `uppercase.rs` looks at one character after the other: how many bytes does it have, and what is
//! its upper case? A processor guesses the answers ahead of time, and each wrong guess costs as
//! much time as a dozen bytes. Here nearly all bytes go through the same steps, so there is little
//! to guess.
//!
//! # One table
//!
//! The most used letters outside ASCII have two bytes, and so has their upper case. So there is a
//! table of all pairs of bytes. It says how the first and the second byte of the pair change, as an
//! exclusive or (`^`; all numbers are hexadecimal):
//!
//! | pair | upper case | change of the first | change of the second |
//! |---|---|---|---|
//! | `я`: D1 8F | `Я`: D0 AF | 01 (D1 ^ 01 is D0) | 20 (8F ^ 20 is AF) |
//! | `é`: C3 A9 | `É`: C3 89 | 00 | 20 |
//! | `ß`: C3 9F | `SS`: 53 53 | 90 | CC |
//! | not a small letter | the same | 00 | 00 |
//!
//! Each byte is the first of one pair, and the second of the pair before. It changes as both say.
//! So nobody has to know where the characters begin: a pair that is not a letter changes nothing.
//! ASCII letters are not in the table. This is how `aяz` becomes `AЯZ`:
//!
//! ```text
//! the bytes                61 D1 8F 7A
//! changes as the first     00 01 00 00
//! changes as the second    00 00 20 00
//! the bytes, ASCII changed 41 D1 8F 5A
//! the three lines above, ^ 41 D0 AF 5A
//! ```
//!
//! Other letters:
//!
//! - If a letter of three bytes begins with E1 (Vietnamese, Georgian, ancient Greek), and its upper
//!   case does, too, then its pair is the second and the third byte. See [`row`].
//! - All others that have an upper case are only marked as [`UNKNOWN`] in the table, and converted
//!   one by one as in `uppercase.rs`.

use std::sync::LazyLock;

use super::append_first;

/// How many bytes are converted together at most. Measured: with 256, a sentence of 16 bytes takes
/// a fifth longer; with 128, long ASCII does.
const BLOCK: usize = 192;

/// The first byte of the letters that are looked up by their second and third byte.
const E1: u8 = 0xE1;

/// How the two bytes of a pair change. The default is that they do not.
#[derive(Clone, Copy, Default)]
struct Change {
    first: u8,
    second: u8,
}

/// This change of the first byte marks a letter that the table cannot convert. No letter really
/// changes so: C3, for example, would become 3C, which is `<`.
const UNKNOWN: u8 = 0xFF;

/// The last character that may have another upper case. Behind it Unicode has no letters with two
/// cases.
const LAST_LETTER: char = '\u{1FFFF}';

/// The changes of each pair: `TABLE[row of the first byte][second byte]`. It is made when the first
/// text comes that is not ASCII. That takes some milliseconds.
///
/// It is a `Vec`, because an array would be made on the stack of a thread first, and 128 KiB may be
/// too much there.
static TABLE: LazyLock<Vec<[Change; 256]>> = LazyLock::new(make_table);

fn make_table() -> Vec<[Change; 256]> {
    let mut table = vec![[Change::default(); 256]; 256];
    for letter in '\u{80}'..=LAST_LETTER {
        if letter.to_uppercase().eq([letter]) {
            // It is its own upper case.
            continue;
        }
        let text = letter.to_string();
        let upper_text = letter.to_uppercase().to_string();
        let bytes = text.as_bytes();
        let change = match (bytes, upper_text.as_bytes()) {
            (&[first, second], &[upper_first, upper_second])
            | (&[E1, first, second], &[E1, upper_first, upper_second]) => Change {
                first: first ^ upper_first,
                second: second ^ upper_second,
            },
            _ => Change {
                first: UNKNOWN,
                second: 0,
            },
        };
        // An unknown letter that is longer than its pair marks the pair for all characters that
        // have it. These are converted one by one: slower, but right.
        let pair = if bytes[0] == E1 { &bytes[1..] } else { bytes };
        table[usize::from(pair[0])][usize::from(pair[1])] = change;
    }
    table
}

/// Appends the upper case of the beginning of `input` to `output`. Returns how many bytes of
/// `input` it has converted; it may be none.
///
/// It stops before anything whose upper case may depend on bytes that come after `input`.
pub(crate) fn leading(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    while done < input.len() {
        let rest = &input[done..];
        let front = &rest[..rest.len().min(BLOCK)];
        let converted = if front.is_ascii() {
            append_ascii(front, output);
            front.len()
        } else {
            append_block(rest, output)
        };
        if converted == 0 {
            break;
        }
        done += converted;
    }
    done
}

/// Appends the upper case of ASCII. The two ways do the same. Measured: the first is faster for
/// long text, and the second for a short sentence.
fn append_ascii(bytes: &[u8], output: &mut Vec<u8>) {
    if bytes.len() == BLOCK {
        output.extend(bytes.iter().map(u8::to_ascii_uppercase));
    } else {
        let start = output.len();
        output.extend_from_slice(bytes);
        output[start..].make_ascii_uppercase();
    }
}

/// Appends the upper case of the first block of `input`. Returns how many bytes that was. It may
/// be 0 if `input` has fewer than four bytes.
///
/// Only the second loop, which looks up, stops at the end of a short block: the compiler makes
/// vector instructions of the other two, which take 16 bytes at once.
fn append_block(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut size = input.len().min(BLOCK);
    // If the block ends inside of a pair, the letter waits for the next block. Its first byte is
    // the last one (C2 or more), or, if it is E1, perhaps the last but one.
    if size >= 2 && input[size - 2] == E1 {
        size -= 2;
    } else if input[size - 1] >= 0xC2 {
        size -= 1;
    }
    // Behind `size` the block stays 0.
    let mut block = [0; BLOCK];
    block[..size].copy_from_slice(&input[..size]);

    let mut rows = [0; BLOCK];
    let mut before = 0;
    for at in 0..BLOCK {
        rows[at] = row(before, block[at]);
        before = block[at];
    }

    // With `[..256]` the compiler sees that every byte has a row, and leaves out the checks.
    let table = &TABLE[..256];
    let mut as_first = [0; BLOCK];
    let mut as_second = [0; BLOCK];
    for at in 0..size.min(BLOCK - 1) {
        let change = table[usize::from(rows[at])][usize::from(block[at + 1])];
        as_first[at] = change.first;
        as_second[at + 1] = change.second;
    }

    for at in 0..BLOCK {
        block[at] = block[at].to_ascii_uppercase() ^ as_first[at] ^ as_second[at];
    }

    if as_first.contains(&UNKNOWN) {
        return append_with_unknown(input, &block[..size], &as_first[..size], output);
    }
    output.extend_from_slice(&block[..size]);
    size
}

/// Returns the row of the table for a pair that begins with `byte`. `before` is the byte before it.
///
/// No character begins with 80 to BF. So the rows 80 to BF are free for the letters that begin with
/// E1: they stand in the row of their second byte, and are looked up only behind an E1. In all
/// other places, a byte 80 to BF gets the row 0, which is empty.
///
/// (The compiler makes no jump of this `if`. It computes both values and selects one.)
fn row(before: u8, byte: u8) -> u8 {
    if is_continuation(byte) && before != E1 {
        0
    } else {
        byte
    }
}

/// Returns whether this is a byte of a character, but not its first.
fn is_continuation(byte: u8) -> bool {
    (0x80..=0xBF).contains(&byte)
}

/// Appends a converted block, `upper`, but converts the unknown letters in it from `input`. Returns
/// how many bytes of `input` that was.
fn append_with_unknown(input: &[u8], upper: &[u8], as_first: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    for at in 0..upper.len() {
        if as_first[at] != UNKNOWN {
            continue;
        }
        // A letter that begins with E1 was looked up, and marked, one byte later.
        let begin = if is_continuation(input[at]) {
            at - 1
        } else {
            at
        };
        output.extend_from_slice(&upper[done..begin]);
        let converted = append_first(&input[begin..], output);
        if converted == 0 {
            // The input ends inside of this letter.
            return begin;
        }
        done = begin + converted;
    }
    if done < upper.len() {
        output.extend_from_slice(&upper[done..]);
        return upper.len();
    }
    // The last letter was unknown, and has ended with the block, or behind it.
    done
}
