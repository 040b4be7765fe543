//! A faster way to do what `uppercase.rs` does: 128 bytes at a time. It may be deleted, and the
//! results stay the same. Nothing here is about sockets.
//!
//! `uppercase.rs` looks at one character after the other: how many bytes does it have, and is its
//! upper case different? On real text a processor cannot foresee the answers, and each wrong guess
//! costs it as much time as a dozen bytes. So the code here asks the same questions about every
//! byte, and its inner loops have no branches:
//!
//! 1. Take a block of 128 bytes. For each byte, suppose that a character begins there.
//! 2. Compare it and the two bytes after it with the letters of one script (Greek, Cyrillic, ...).
//!    A [`Lane`] notes what must be added to the three bytes to make them upper case, and whether
//!    the rules know this character at all.
//! 3. Add.
//!
//! The rules of a script are facts about its alphabet, for example "а to п become А to П". In UTF-8
//! this means: after a byte D0, the bytes B0 to BF become 20 (hexadecimal) less. The loops go over
//! arrays of a fixed size and only compare and add, so the compiler makes vector instructions of
//! them, which do the same with 16 bytes at once. A branch, a lazy `&&`, or a loop inside of such a
//! loop may keep the compiler from that. Then the results are still right, but ten times slower,
//! and `cargo bench` shows it.
//!
//! Each rule costs time for each byte. So only one script is tried at a time. When a block contains
//! a character that the script does not know, the script is chosen anew. A character that no script
//! knows is converted by [`char::to_uppercase`]. There are shorter ways for ASCII, and for text in
//! which only ASCII has upper case.
//!
//! `tests/transform.rs` compares the results with `char::to_uppercase`, for every character of
//! Unicode.

use scripts::{Lane, armenian, cyrillic, georgian, greek, latin, latin_1, signs};

mod scripts;

/// How many bytes of ASCII are converted together. Measured: with 64, ASCII is a fifth
/// slower.
const ASCII_BLOCK: usize = 256;

/// How many bytes are looked at together. Measured: with 64, text of all kinds is a fifth
/// slower, but a sentence of 32 bytes takes a fifth less time. With 16 the compiler makes no vector
/// instructions.
const LANES: usize = 128;

/// A block, and the two bytes behind it: a character that begins with the last byte of the block
/// may end there.
type Window = [u8; LANES + 2];

/// Appends the upper case of the beginning of `input` to `output`. Returns how many bytes of
/// `input` it has converted; it may be none.
///
/// It stops before anything whose upper case may depend on bytes that come after `input`.
pub(crate) fn leading(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = convert_ascii(input, output);
    let mut script = script_of(&input[done..]);
    while done < input.len() {
        let rest = &input[done..];
        let mut converted = convert_block(script, rest, output);
        // A complete block converts 126 to 128 bytes (see `whole_characters`). With fewer, it has
        // met an unknown character, or the end of the input.
        let has_stopped_early = converted < LANES - 2;
        if converted == 0 {
            // The script does not know even the first character.
            converted = convert_rare(rest, output);
        }
        if converted == 0 {
            break;
        }
        done += converted;
        done += convert_ascii(&input[done..], output);
        if has_stopped_early {
            script = script_of(&input[done..]);
        }
    }
    done
}

/// Converts the blocks at the beginning of `input` that are ASCII. Returns how many bytes that was.
fn convert_ascii(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    for block in input.chunks(ASCII_BLOCK).take_while(|it| it.is_ascii()) {
        output.extend(block.iter().map(u8::to_ascii_uppercase));
        done += block.len();
    }
    done
}

/// Converts characters with [`char::to_uppercase`], and bytes that are not UTF-8. Returns how many
/// bytes that was: 0 if `input` is only the beginning of a character, or one wrong byte at the end.
///
/// It converts many characters, not only one. Where no script knows the letters, [`convert_block`]
/// has worked for nothing before each call.
fn convert_rare(input: &[u8], output: &mut Vec<u8>) -> usize {
    let front = &input[..input.len().min(LANES)];
    let mut done = 0;
    for chunk in front.utf8_chunks() {
        for upper in chunk.valid().chars().flat_map(char::to_uppercase) {
            output.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
        }
        done += chunk.valid().len();
        // Bytes at the end that are not UTF-8 may be a character that is cut there.
        let is_at_end = done + chunk.invalid().len() == front.len();
        if !is_at_end {
            output.extend_from_slice(chunk.invalid());
            done += chunk.invalid().len();
        }
    }
    done
}

/// Converts up to 128 bytes. Returns how many: fewer, perhaps 0, if there is a character that the
/// script does not know, or one at the end that the block does not hold whole.
fn convert_block(script: Script, input: &[u8], output: &mut Vec<u8>) -> usize {
    // At the end of the input the window is filled up with zeros. A letter that is cut there is
    // not taken: no rule matches a character with a zero in it.
    let mut padded = [0; LANES + 2];
    // `first_chunk` gives the first 130 bytes as an array, or `None` if there are fewer.
    let window: &Window = if let Some(whole_window) = input.first_chunk() {
        whole_window
    } else {
        padded[..input.len()].copy_from_slice(input);
        &padded
    };
    let block = script(window);
    let size = input.len().min(whole_characters(window));
    // Most often all is known, and this test is fast (vector instructions). To search for the first
    // unknown one is slow.
    let is_any_unknown = block.is_unknown.iter().fold(0, |any, is| any | is);
    if is_any_unknown == 0 {
        output.extend_from_slice(&block.upper[..size]);
        return size;
    }
    append_known(&block, &window[..size], output)
}

/// Appends a block up to the first unknown character. Returns how many bytes that was.
///
/// One unknown letter is converted here: `ı`, which gets shorter. Turkish is full of it, and it
/// would be slow to begin another block behind each.
fn append_known(block: &Converted, window: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    loop {
        let flags = &block.is_unknown[done..window.len()];
        let next_unknown = flags.iter().position(|&flag| flag == 1);
        let end = done + next_unknown.unwrap_or(flags.len());
        output.extend_from_slice(&block.upper[done..end]);
        if !window[end..].starts_with("ı".as_bytes()) {
            return end;
        }
        output.push(b'I');
        done = end + "ı".len();
    }
}

/// Returns how many bytes of a block are whole characters of up to three bytes; no rule is about
/// longer ones. If the last byte is D0, the result is 127: D0 begins a character of two or more
/// bytes. If the last two are E1 83, the result is 126.
///
/// It has no branch, because the processor would guess wrong every other time.
fn whole_characters(window: &Window) -> usize {
    let is_last_a_lead_byte = usize::from(window[LANES - 1] >= 0xC2);
    let is_three_byte_lead_before_last = usize::from(window[LANES - 2] >= 0xE0);
    let cut_off = is_last_a_lead_byte.max(2 * is_three_byte_lead_before_last);
    LANES - cut_off
}

/// Converts a block by the rules of one script.
type Script = fn(&Window) -> Converted;

/// A converted block. All characters are right except the unknown ones. These match no rule, so
/// they stay as they are, and change no others.
struct Converted {
    upper: [u8; LANES],
    /// 1 where a character begins that the script does not know. A search in `bool`s would be
    /// slower.
    is_unknown: [u8; LANES],
}

/// Returns the script of the first character of `input`. A pattern such as `[0xC2, ..]` stands for
/// all bytes that begin with C2.
///
/// [`apply`] is generic: the compiler makes a copy of it for each set of rules, and only then can
/// use vector instructions. `|window| apply(latin, window)` gives such a copy the type [`Script`].
/// (A closure that captures nothing can be used as a plain function, `fn`.)
fn script_of(input: &[u8]) -> Script {
    match *input {
        [0xC2 | 0xC3, ..] => |window| apply(latin_1, window),
        [0xC4..=0xC8, ..] | [0xE1, 0xBA | 0xBB, ..] => |window| apply(latin, window),
        [0xCE | 0xCF, ..] => |window| apply(greek, window),
        [0xD0..=0xD3, ..] => |window| apply(cyrillic, window),
        [0xD4..=0xD6, ..] => |window| apply(armenian, window),
        [0xE1, 0x83, ..] => |window| apply(georgian, window),
        _ => caseless,
    }
}

/// Applies the rules of a script to each byte of a block, as if a character began there.
///
/// For `я`, the bytes D1 8F, the rule says: 1 less for this byte, and 20 hex more for the next.
/// What must be added to the second and third byte is noted at the place of these bytes, and added
/// afterwards. What lies behind the block is dropped.
fn apply(rules: impl Fn(&mut Lane), window: &Window) -> Converted {
    let mut upper = [0; LANES];
    let mut is_unknown = [0; LANES];
    let mut add_second = [0; LANES + 2];
    let mut add_third = [0; LANES + 2];
    for at in 0..LANES {
        let mut lane = Lane {
            bytes: [window[at], window[at + 1], window[at + 2]],
            add: [0; 3],
            is_known: window[at] < 0xC2, // it is no lead byte
        };
        signs(&mut lane);
        rules(&mut lane);
        upper[at] = window[at].to_ascii_uppercase().wrapping_add(lane.add[0]);
        add_second[at + 1] = lane.add[1];
        add_third[at + 2] = lane.add[2];
        is_unknown[at] = u8::from(!lane.is_known);
    }
    // This byte may be the second of a character that begins at `at - 1`, or the third of one that
    // begins at `at - 2`.
    for at in 0..LANES {
        upper[at] = upper[at].wrapping_add(add_second[at].wrapping_add(add_third[at]));
    }
    Converted { upper, is_unknown }
}

/// Converts text in which only ASCII has upper case. This asks fewer questions, so it is faster.
fn caseless(window: &Window) -> Converted {
    let mut upper = [0; LANES];
    upper.copy_from_slice(&window[..LANES]);
    upper.make_ascii_uppercase();
    let mut is_unknown = [0; LANES];
    for at in 0..LANES {
        is_unknown[at] = u8::from(may_have_upper_case(window[at], window[at + 1]));
    }
    Converted { upper, is_unknown }
}

/// Returns whether the upper case of a character that begins with these two bytes may differ from
/// it (if it is not ASCII). Only characters whose first byte is C2 to D6, E1, E2, EA, EF or F0 have
/// another upper case. Of these, the following have no other upper case:
///
/// - E2 80 to 84 (quotes, dashes, currency signs) and E2 94 to AF (frames, signs, hearts);
/// - EA from B0 (Hangul);
/// - EF B8 to BC (full-width punctuation and capitals);
/// - F0 9F (emoji).
fn may_have_upper_case(first: u8, second: u8) -> bool {
    (0xC2..=0xD6).contains(&first)
        | (first == 0xE1)
        | ((first == 0xE2) & !(0x80..=0x84).contains(&second) & !(0x94..=0xAF).contains(&second))
        | ((first == 0xEA) & (second < 0xB0))
        | ((first == 0xEF) & !(0xB8..=0xBC).contains(&second))
        | ((first == 0xF0) & (second != 0x9F))
}
