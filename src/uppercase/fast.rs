//! The transform again, 128 bytes at a time. The plain layer gives the same results without it.
//!
//! The plain layer looks at one character after the other: how wide is it, has it an upper case? On
//! real text a processor cannot foresee the answers, and each wrong guess costs it the time of a
//! dozen bytes. So the code here asks every byte the same questions, whatever it is, and has no
//! branches:
//!
//! 1. Take a block of 128 places. At each one, suppose that a character begins there.
//! 2. Compare its bytes with the letters of one script (Greek, Cyrillic, ...). Each [`Lane`] notes
//!    what must be added to the bytes to make them upper case, and whether the rules know the
//!    character at all.
//! 3. Add.
//!
//! A script's rules are facts on its alphabet, for example "а to п become А to П". In UTF-8 that
//! is: after a byte D0, bytes B0 to BF become 20 hex less. They are compared and added without a
//! branch, in loops over arrays of 128 bytes, so the compiler does it with vector instructions, 16
//! bytes at once. A branch, a lazy `&&`, or a loop inside of such a loop may keep it from that.
//! Then all is still right, but ten times slower, and `cargo bench` shows it.
//!
//! One script at a time, since each rule costs time for each byte. At the first character that the
//! script does not know, the script changes. What no script knows goes through
//! [`char::to_uppercase`]. ASCII, and text without any other letter that has an upper case, have
//! shorter ways.
//!
//! The tests in `tests/transform.rs` compare all this with `char::to_uppercase` for every character
//! there is.

/// Bytes of ASCII that are upper-cased together: measured, a quarter of it costs a fifth of the
/// speed.
const ASCII_BLOCK: usize = 256;

/// Places that are looked at together. Measured: with half of it, text of all kinds is a fifth
/// slower, and a sentence of 32 bytes takes a fifth less time. With 16 the compiler makes no vector
/// code.
const LANES: usize = 128;

/// A block, and two bytes more: its last place may begin a character of three bytes.
type Window = [u8; LANES + 2];

/// Appends the upper case of the beginning of `input` to `output`: as much of it as is right
/// whatever follows, and as this file can convert. Returns how many bytes of `input` that was; it
/// may be none.
///
/// A block that ends more than two bytes early stands before a character that its script does not
/// know: then the script changes. If the next block ends at once, no script knows that character.
pub(crate) fn leading(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = convert_ascii(input, output);
    let mut script = script_of(&input[done..]);
    while done < input.len() {
        let rest = &input[done..];
        let mut converted = convert_block(script, rest, output);
        if converted == 0 {
            converted = convert_rare(rest, output);
        }
        if converted == 0 {
            break;
        }
        done += converted;
        done += convert_ascii(&input[done..], output);
        if converted < LANES - 2 {
            script = script_of(&input[done..]);
        }
    }
    done
}

/// Converts blocks that are ASCII, if any.
fn convert_ascii(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut done = 0;
    for block in input.chunks(ASCII_BLOCK) {
        if !block.is_ascii() {
            break;
        }
        output.extend(block.iter().map(u8::to_ascii_uppercase));
        done += block.len();
    }
    done
}

/// Converts some characters by [`char::to_uppercase`]. Returns 0 if `input` does not begin with a
/// whole one.
///
/// A block that ended at once was lost work. After only one character here, text in letters that no
/// script knows would take several times as long.
fn convert_rare(input: &[u8], output: &mut Vec<u8>) -> usize {
    let some = &input[..input.len().min(LANES)];
    let text = some.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    for upper in text.chars().flat_map(char::to_uppercase) {
        output.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
    }
    text.len()
}

/// Converts up to 128 bytes. Ends early, perhaps at once, before a character that the script does
/// not know, and one or two bytes early before a character that the block does not hold whole.
///
/// At the end of the input the block is filled up with zeros. No script knows a lead byte before a
/// zero, so a character that is cut there is not taken.
///
/// One letter is dealt with here: `ı` gets shorter, and Turkish is full of it. Another block behind
/// each would be slow.
fn convert_block(script: Script, input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut padded = [0; LANES + 2];
    let window = input.first_chunk().unwrap_or_else(|| {
        let size = input.len().min(LANES);
        padded[..size].copy_from_slice(&input[..size]);
        &padded
    });
    let block = script(window);
    let size = input.len().min(whole_characters(window));
    // Most often all is known. Unlike a search, which may stop anywhere, this is vector code.
    let is_all_known = block.is_unknown.iter().fold(0, |any, is| any | is) == 0;
    if is_all_known {
        output.extend_from_slice(&block.upper[..size]);
        return size;
    }
    let mut done = 0;
    loop {
        let unknown = block.is_unknown[done..size].iter().position(|&is| is == 1);
        let end = unknown.map_or(size, |at| done + at);
        output.extend_from_slice(&block.upper[done..end]);
        if end == size || !window[end..].starts_with("ı".as_bytes()) {
            return end;
        }
        output.push(b'I');
        done = end + "ı".len();
    }
}

/// How many bytes of a block are whole characters of up to three bytes. (No rule is about longer
/// ones.) Without a branch: it would be guessed wrong every other time.
fn whole_characters(window: &Window) -> usize {
    let is_last_a_lead = usize::from(window[LANES - 1] >= 0xC2);
    let is_one_before_of_three = usize::from(window[LANES - 2] >= 0xE0);
    LANES - is_last_a_lead.max(2 * is_one_before_of_three)
}

/// Converts all places of a block.
type Script = fn(&Window) -> Block;

/// A block whose bytes are all converted, rightly up to the first character that the script does
/// not know.
struct Block {
    upper: [u8; LANES],
    /// 1 where a character begins that the script does not know. A `bool` would be slower to
    /// search.
    is_unknown: [u8; LANES],
}

/// Returns the script that the first character of `input` belongs to. Each has its own copy of
/// [`apply`]: only where the compiler knows the rules it makes vector code.
fn script_of(input: &[u8]) -> Script {
    match *input {
        [0xC2 | 0xC3, ..] => |window| apply(latin_1, window),
        [0xC4..=0xC8, ..] | [0xE1, 0xBA | 0xBB, ..] => |window| apply(latin, window),
        [0xCE | 0xCF, ..] => |window| apply(greek, window),
        [0xD0..=0xD3, ..] => |window| apply(cyrillic, window),
        [0xE1, 0x83, ..] => |window| apply(georgian, window),
        _ => caseless,
    }
}

/// Applies `rules` to all places. What they add to a character's second and third byte is noted for
/// the next two places, and added in the end.
fn apply(rules: impl Fn(&mut Lane), window: &Window) -> Block {
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
    for at in 0..LANES {
        let add = add_second[at].wrapping_add(add_third[at]);
        upper[at] = upper[at].wrapping_add(add);
    }
    Block { upper, is_unknown }
}

/// Converts text whose only letters with an upper case are ASCII. With so few questions it is
/// faster than by rules.
fn caseless(window: &Window) -> Block {
    let mut upper = [0; LANES];
    upper.copy_from_slice(&window[..LANES]);
    upper.make_ascii_uppercase();
    let mut is_unknown = [0; LANES];
    for at in 0..LANES {
        is_unknown[at] = u8::from(may_be_letter(window[at], window[at + 1]));
    }
    Block { upper, is_unknown }
}

/// Whether a character, not ASCII, that begins with these bytes may have another upper case.
///
/// None has one between E2 80 and 84 (quotes, dashes, currency signs), E2 94 and AF (frames, signs,
/// hearts), from EA B0 on (Hangul), between EF B8 and BC (full-width punctuation and capitals) and
/// at F0 9F (emoji).
fn may_be_letter(first: u8, second: u8) -> bool {
    (0xC2..=0xD6).contains(&first)
        | (first == 0xE1)
        | ((first == 0xE2) & !(0x80..=0x84).contains(&second) & !(0x94..=0xAF).contains(&second))
        | ((first == 0xEA) & (second < 0xB0))
        | ((first == 0xEF) & !(0xB8..=0xBC).contains(&second))
        | ((first == 0xF0) & (second != 0x9F))
}

/// What stands between letters of any script.
fn signs(lane: &mut Lane) {
    lane.knows('\u{80}', '´'); // C2 80..B4, as in C2 AB «. Behind them is µ, a small letter.
    lane.knows('¶', '¿'); // C2 B6..BF, as in C2 BB »
    lane.knows('\u{2000}', '\u{213F}'); // E2 80 80..E2 84 BF, as in E2 80 99 ’
}

/// Latin-1: German, Spanish, Portuguese, the Nordic languages, ... Without ÷ and ÿ, C3 B7 and BF,
/// which are rare.
fn latin_1(lane: &mut Lane) {
    lane.knows('À', 'Þ'); // C3 80..9E
    let is_sharp_s = lane.knows('ß', 'ß');
    lane.add(is_sharp_s, utf8('ß', 0), *b"SS\0"); // C3 9F: 53 53
    lane.run('à', 'ö', 'À'); // C3 A0..B6: 20 hex less
    lane.run('ø', 'þ', 'Ø'); // C3 B8..BE: 20 hex less
}

/// The letters of Polish, Czech, Turkish, Romanian, Vietnamese, ... as well.
fn latin(lane: &mut Lane) {
    latin_1(lane);
    lane.pairs('Ā', 'ā', 'İ'); // C4 80..B0, as in C4 84 Ą, C4 85 ą. Behind them is ı.
    lane.pairs('Ĳ', 'ĳ', 'ķ'); // C4 B2..B7
    lane.pairs('Ĺ', 'ĺ', 'ľ'); // C4 B9..BE
    lane.pairs('Ł', 'ł', 'ň'); // C5 81..88, as in C5 81 Ł, C5 82 ł
    lane.pairs('Ŋ', 'ŋ', 'Ÿ'); // C5 8A..B8
    lane.pairs('Ź', 'ź', 'ž'); // C5 B9..BE
    lane.pairs('Ơ', 'ơ', 'ơ'); // C6 A0, C6 A1
    lane.pairs('Ư', 'ư', 'ư'); // C6 AF, C6 B0
    lane.pairs('Ȁ', 'ȁ', 'ȟ'); // C8 80..9F, as in C8 98 Ș, C8 99 ș
    lane.pairs('Ạ', 'ạ', 'ế'); // E1 BA A0..BF
    lane.pairs('Ề', 'ề', 'ỿ'); // E1 BB 80..BF
}

fn greek(lane: &mut Lane) {
    lane.knows('Ά', 'Ώ'); // CE 86..8F
    lane.knows('Α', 'Ϋ'); // CE 91..AB
    lane.run('ά', 'ά', 'Ά'); // CE AC: CE 86
    lane.run('έ', 'ί', 'Έ'); // CE AD..AF: CE 88..8A
    lane.run('α', 'ο', 'Α'); // CE B1..BF: 20 hex less
    lane.run('π', 'ρ', 'Π'); // CF 80..81: CE A0..A1
    lane.run('ς', 'ς', 'Σ'); // CF 82, at the end of a word: CE A3
    lane.run('σ', 'ϋ', 'Σ'); // CF 83..8B: CE A3..AB
    lane.run('ό', 'ό', 'Ό'); // CF 8C: CE 8C
    lane.run('ύ', 'ώ', 'Ύ'); // CF 8D..8E: CE 8E..8F
}

fn cyrillic(lane: &mut Lane) {
    lane.knows('Ѐ', 'Я'); // D0 80..AF
    lane.run('а', 'п', 'А'); // D0 B0..BF: 20 hex less
    lane.run('р', 'я', 'Р'); // D1 80..8F: D0 A0..AF
    lane.run('ѐ', 'џ', 'Ѐ'); // D1 90..9F: D0 80..8F
    lane.pairs('Ҋ', 'ҋ', 'ҿ'); // D2 8A..BF, as in D2 90 Ґ, D2 91 ґ
    lane.pairs('Ӑ', 'ӑ', 'ӿ'); // D3 90..BF, as in D3 98 Ә, D3 99 ә
}

fn georgian(lane: &mut Lane) {
    lane.run('ა', 'ჺ', 'Ა'); // E1 83 90..BA: E1 B2 and the same
}

/// A place in a block, supposed to be the beginning of a character of two or three bytes. If it is
/// not, it is ASCII or inside of a character, and no rule matches there.
struct Lane {
    bytes: [u8; 3],
    /// What to add to the bytes, modulo 256.
    add: [u8; 3],
    /// Whether the upper case of what begins here is known, whatever follows.
    is_known: bool,
}

/// The rules. `from` and `to` differ only in their last byte, and no two rules change the same
/// character.
impl Lane {
    /// The characters from `from` to `to` are known. They stay as they are, if no other rule
    /// changes them.
    fn knows(&mut self, from: char, to: char) -> bool {
        let [first, second, third] = self.bytes;
        let from = utf8(from, 0x00);
        let to = utf8(to, 0xFF);
        let is_between = (from[0]..=to[0]).contains(&first)
            & (from[1]..=to[1]).contains(&second)
            & (from[2]..=to[2]).contains(&third);
        self.is_known |= is_between;
        is_between
    }

    /// The characters from `from` to `to` become those from `upper` on, which also differ only in
    /// their last byte.
    fn run(&mut self, from: char, to: char, upper: char) {
        let applies = self.knows(from, to);
        self.add(applies, utf8(from, 0), utf8(upper, 0));
    }

    /// From `upper` to `to`, an upper case and its lower case take turns.
    fn pairs(&mut self, upper: char, lower: char, to: char) {
        let last = self.bytes[upper.len_utf8() - 1];
        let is_lower = last % 2 == lower as u8 % 2;
        let applies = self.knows(upper, to) & is_lower;
        self.add(applies, utf8(lower, 0), utf8(upper, 0));
    }

    /// If the rule applies, adds the difference. (As a loop it would not become vector code.)
    fn add(&mut self, applies: bool, from: [u8; 3], to: [u8; 3]) {
        let mask = if applies { 0xFF } else { 0 };
        let [first, second, third] = self.add;
        self.add = [
            first.wrapping_add(mask & to[0].wrapping_sub(from[0])),
            second.wrapping_add(mask & to[1].wrapping_sub(from[1])),
            third.wrapping_add(mask & to[2].wrapping_sub(from[2])),
        ];
    }
}

/// The bytes of a character that has two or three. If it has two, the third is `fill`.
fn utf8(character: char, fill: u8) -> [u8; 3] {
    let mut bytes = [fill; 4];
    character.encode_utf8(&mut bytes);
    [bytes[0], bytes[1], bytes[2]]
}
