//! The transform again, 64 bytes at a time. The plain layer gives the same results without it.
//!
//! The plain layer looks at one character after the other: how wide is it, has it an upper case? On real text a
//! processor cannot foresee the answers, and each wrong guess costs it as much time as 20 bytes should. So the code here
//! asks every byte the same questions, whatever it is, and has no branches:
//!
//! 1. Take a block of 64 places. At each one, suppose that a character begins there.
//! 2. Compare its bytes with the letters of one script (Greek, Cyrillic, ...). Each [`Lane`] notes what must be added to
//!    the bytes to make them upper case, and whether the rules know the character at all.
//! 3. Add.
//!
//! A script's rules are facts on its alphabet, for example "а to п become А to П". In UTF-8 that is: after a byte D0,
//! bytes B0 to BF become 20 hex less. They are compared and added without a branch, in loops over arrays of 64 bytes,
//! so the compiler does it with vector instructions, for 16 bytes at once. One script at a time, since each rule costs
//! time for each byte. At the first character that the script does not know, the script changes. What no script knows
//! goes through [`char::to_uppercase`]. ASCII, and text without any letter that has an upper case, have shorter ways.
//!
//! The test `every_character` compares the rules with `char::to_uppercase` for every character there is.

/// Bytes of ASCII that are upper-cased together: measured, a quarter of it costs a fifth of the speed.
const ASCII_BLOCK: usize = 256;

/// Places that are looked at together. With 16 the compiler makes no vector code; with more, more work is lost when a
/// block ends early.
const LANES: usize = 64;

/// A block, and two bytes more: the last place may begin a character of three bytes.
const WINDOW: usize = LANES + 2;

/// Bytes that go through [`char::to_uppercase`] before a block is tried again. A block that ends at once is lost work: so
/// text in letters that no script knows takes about as long as without blocks.
const RARE: usize = 64;

/// Appends the upper case of the beginning of `input` to `output`: as much of it as is right whatever follows, and as
/// this file can convert. Returns how many bytes of `input` that was; it may be none.
pub(crate) fn leading(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut script = Script::Caseless;
    let mut done = 0;
    while done < input.len() {
        let rest = &input[done..];
        let block = &rest[..rest.len().min(ASCII_BLOCK)];
        if block.is_ascii() {
            output.extend(block.iter().map(u8::to_ascii_uppercase));
            done += block.len();
            continue;
        }
        let converted = convert_block(rest, script, output);
        done += converted;
        if converted >= LANES - 2 {
            continue;
        }
        // The script does not know the next character, or nothing is left.
        let rest = &input[done..];
        let next_script = Script::of(rest);
        if next_script != script {
            script = next_script;
            continue;
        }
        let converted = convert_rare(rest, output);
        if converted == 0 {
            break;
        }
        done += converted;
    }
    done
}

/// Converts some characters by [`char::to_uppercase`]. Returns 0 if `input` does not begin with a whole one.
fn convert_rare(input: &[u8], output: &mut Vec<u8>) -> usize {
    let some = &input[..input.len().min(RARE)];
    let Some(chunk) = some.utf8_chunks().next() else {
        return 0;
    };
    for character in chunk.valid().chars() {
        for upper in character.to_uppercase() {
            output.extend_from_slice(upper.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    chunk.valid().len()
}

/// Converts up to 64 bytes, by the rules of `script`. It ends early, perhaps at once, before a character that they do not
/// know, and one or two bytes early before a character that the block does not hold whole.
fn convert_block(input: &[u8], script: Script, output: &mut Vec<u8>) -> usize {
    if let Some(window) = input.first_chunk() {
        return script.convert(window, LANES, output);
    }
    // A lead byte with a zero behind it is known to no script: at the end of the input nothing is taken too early.
    let size = input.len().min(LANES);
    let mut window = [0; WINDOW];
    window[..size].copy_from_slice(&input[..size]);
    script.convert(&window, size, output)
}

/// The letters that the rules of one block know.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    Caseless,
    WesternLatin,
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Georgian,
}

impl Script {
    /// The script whose rules may know the character that `input` begins with.
    fn of(input: &[u8]) -> Self {
        match *input {
            [0xC2 | 0xC3, ..] => Self::WesternLatin,
            [0xC4..=0xC8, ..] | [0xE1, 0xBA | 0xBB, ..] => Self::Latin,
            [0xCE | 0xCF, ..] => Self::Greek,
            [0xD0..=0xD3, ..] => Self::Cyrillic,
            [0xD4..=0xD6, ..] => Self::Armenian,
            [0xE1, 0x83, ..] => Self::Georgian,
            _ => Self::Caseless,
        }
    }

    /// Converts the first `size` bytes of `window`, or fewer.
    fn convert(self, window: &[u8; WINDOW], size: usize, output: &mut Vec<u8>) -> usize {
        // A copy of the code for each: the compiler makes vector code only where it knows the rules.
        match self {
            Self::Caseless => convert_caseless(window, size, output),
            Self::WesternLatin => convert_by(western_latin, window, size, output),
            Self::Latin => convert_by(latin, window, size, output),
            Self::Greek => convert_by(greek, window, size, output),
            Self::Cyrillic => convert_by(cyrillic, window, size, output),
            Self::Armenian => convert_by(armenian, window, size, output),
            Self::Georgian => convert_by(georgian, window, size, output),
        }
    }
}

/// Latin-1: German, Spanish, Portuguese, the Nordic languages, ...
fn latin_1(lane: &mut Lane) {
    lane.unchanged('À', 'Þ'); // C3 80..9E
    lane.becomes('ß', *b"SS"); // C3 9F: 53 53
    lane.run('à', 'ö', 'À'); // C3 A0..B6: 20 hex less
    lane.unchanged('÷', '÷'); // C3 B7
    lane.run('ø', 'þ', 'Ø'); // C3 B8..BE: 20 hex less
    lane.run('ÿ', 'ÿ', 'Ÿ'); // C3 BF: C5 B8
}

/// French has one letter more.
fn western_latin(lane: &mut Lane) {
    latin_1(lane);
    lane.pairs('Œ', 'œ'); // C5 92, C5 93
}

/// The letters of Polish, Czech, Turkish, Romanian, Vietnamese, ... as well.
fn latin(lane: &mut Lane) {
    latin_1(lane);
    lane.pairs('Ā', 'į'); // C4 80..AF, as in C4 84 Ą, C4 85 ą
    lane.unchanged('İ', 'İ'); // C4 B0. Its neighbour ı becomes one byte, see `convert_by`.
    lane.pairs('Ĳ', 'ķ'); // C4 B2..B7
    lane.pairs('Ĺ', 'ľ'); // C4 B9..BE
    lane.pairs('Ł', 'ň'); // C5 81..88, as in C5 81 Ł, C5 82 ł
    lane.pairs('Ŋ', 'ŷ'); // C5 8A..B7
    lane.unchanged('Ÿ', 'Ÿ'); // C5 B8
    lane.pairs('Ź', 'ž'); // C5 B9..BE
    lane.pairs('Ơ', 'ơ'); // C6 A0, C6 A1
    lane.pairs('Ư', 'ư'); // C6 AF, C6 B0
    lane.pairs('Ȁ', 'ȟ'); // C8 80..9F, as in C8 98 Ș, C8 99 ș
    lane.pairs('Ạ', 'ế'); // E1 BA A0..BF
    lane.pairs('Ề', 'ỿ'); // E1 BB 80..BF
}

fn greek(lane: &mut Lane) {
    lane.unchanged('Ά', 'Ώ'); // CE 86..8F
    lane.unchanged('Α', 'Ϋ'); // CE 91..AB
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
    lane.unchanged('Ѐ', 'Я'); // D0 80..AF
    lane.run('а', 'п', 'А'); // D0 B0..BF: 20 hex less
    lane.run('р', 'я', 'Р'); // D1 80..8F: D0 A0..AF
    lane.run('ѐ', 'џ', 'Ѐ'); // D1 90..9F: D0 80..8F
    lane.pairs('Ҋ', 'ҿ'); // D2 8A..BF, as in D2 90 Ґ, D2 91 ґ
    lane.pairs('Ӑ', 'ӿ'); // D3 90..BF, as in D3 98 Ә, D3 99 ә
}

fn armenian(lane: &mut Lane) {
    lane.unchanged('Ա', 'Կ'); // D4 B1..BF
    lane.unchanged('Հ', 'Ֆ'); // D5 80..96
    lane.run('ա', 'կ', 'Ա'); // D5 A1..AF: D4 B1..BF
    lane.run('հ', 'տ', 'Հ'); // D5 B0..BF: 30 hex less
    lane.run('ր', 'ֆ', 'Ր'); // D6 80..86: D5 90..96
}

fn georgian(lane: &mut Lane) {
    lane.run('ა', 'ჺ', 'Ა'); // E1 83 90..BA: E1 B2 and the same
    lane.run('ჽ', 'ჿ', 'Ჽ'); // E1 83 BD..BF: E1 B2 and the same
}

/// A place in a block, supposed to be the beginning of a character of two or three bytes. If it is not, it is ASCII or
/// inside of a character. No rule matches there.
struct Lane {
    first: u8,
    second: u8,
    third: u8,
    /// Whether the upper case of what begins here is known, whatever follows.
    is_known: bool,
    /// What to add to the three bytes, modulo 256.
    add_first: u8,
    add_second: u8,
    add_third: u8,
}

impl Lane {
    fn new(first: u8, second: u8, third: u8) -> Self {
        let is_no_lead = first < 0xC2;
        // ° § « », C2 80..BF, but µ is a small letter.
        let is_sign = (first == 0xC2) & is_within(second, 0x80, 0xBF) & (second != 0xB5);
        // – — ‘ ’ “ ” … €: E2 80..84.
        let is_punctuation = (first == 0xE2) & is_within(second, 0x80, 0x84);
        Self {
            first,
            second,
            third,
            is_known: is_no_lead | is_sign | is_punctuation,
            add_first: 0,
            add_second: 0,
            add_third: 0,
        }
    }

    /// Rule: the characters from `from` to `to`, which differ only in their last byte, stay as they are.
    fn unchanged(&mut self, from: char, to: char) {
        self.is_known |= self.is_one_of(from, to);
    }

    /// Rule: the characters from `from` to `to`, which differ only in their last byte, become those from `upper` on,
    /// which differ only in their last byte, too.
    fn run(&mut self, from: char, to: char, upper: char) {
        let applies = self.is_one_of(from, to);
        self.is_known |= applies;
        self.add(applies, utf8(from), utf8(upper));
    }

    /// Rule: from `from` to `to`, which differ only in their last byte, an upper case and its lower case take turns.
    fn pairs(&mut self, from: char, to: char) {
        let applies = self.is_one_of(from, to);
        self.is_known |= applies;
        let is_two_bytes = from.len_utf8() == 2;
        let last = if is_two_bytes {
            self.second
        } else {
            self.third
        };
        let is_lower = last % 2 != from as u8 % 2;
        let one = u8::from(applies & is_lower);
        if is_two_bytes {
            self.add_second = self.add_second.wrapping_sub(one);
        } else {
            self.add_third = self.add_third.wrapping_sub(one);
        }
    }

    /// Rule: one character becomes these two bytes.
    fn becomes(&mut self, character: char, [first, second]: [u8; 2]) {
        let applies = self.is_one_of(character, character);
        self.is_known |= applies;
        self.add(applies, utf8(character), [first, second, 0]);
    }

    fn is_one_of(&self, from: char, to: char) -> bool {
        let [first, second, third] = utf8(from);
        let [_, last_second, last_third] = utf8(to);
        if from.len_utf8() == 2 {
            (self.first == first) & is_within(self.second, second, last_second)
        } else {
            let is_beginning = (self.first == first) & (self.second == second);
            is_beginning & is_within(self.third, third, last_third)
        }
    }

    /// If the rule applies, adds the difference between two characters.
    fn add(&mut self, applies: bool, from: [u8; 3], to: [u8; 3]) {
        let mask = if applies { 0xFF } else { 0 };
        self.add_first = self
            .add_first
            .wrapping_add(mask & to[0].wrapping_sub(from[0]));
        self.add_second = self
            .add_second
            .wrapping_add(mask & to[1].wrapping_sub(from[1]));
        self.add_third = self
            .add_third
            .wrapping_add(mask & to[2].wrapping_sub(from[2]));
    }
}

/// The bytes of a character that has two or three. Of two, the third is 0.
fn utf8(character: char) -> [u8; 3] {
    let mut bytes = [0; 4];
    character.encode_utf8(&mut bytes);
    [bytes[0], bytes[1], bytes[2]]
}

/// Whether `byte` is from `first` to `last`, in one comparison.
fn is_within(byte: u8, first: u8, last: u8) -> bool {
    byte.wrapping_sub(first) <= last - first
}

/// A block whose bytes are all converted, rightly up to the first character that the rules do not know.
struct Block {
    upper: [u8; LANES],
    /// 1 where a character begins that the rules do not know. A `bool` would be slower to search.
    is_unknown: [u8; LANES],
}

/// Applies `rules` to all places.
fn apply(rules: impl Fn(&mut Lane), window: &[u8; WINDOW]) -> Block {
    let mut upper = [0; LANES];
    let mut is_unknown = [0; LANES];
    // What to add to a byte because of the character that began one place before it, or two.
    let mut add_second = [0; WINDOW];
    let mut add_third = [0; WINDOW];
    for at in 0..LANES {
        let mut lane = Lane::new(window[at], window[at + 1], window[at + 2]);
        rules(&mut lane);
        upper[at] = lane.first.to_ascii_uppercase().wrapping_add(lane.add_first);
        add_second[at + 1] = lane.add_second;
        add_third[at + 2] = lane.add_third;
        is_unknown[at] = u8::from(!lane.is_known);
    }
    for at in 0..LANES {
        let add = add_second[at].wrapping_add(add_third[at]);
        upper[at] = upper[at].wrapping_add(add);
    }
    Block { upper, is_unknown }
}

/// Converts up to `size` bytes by `rules`. See [`convert_block`].
fn convert_by(
    rules: impl Fn(&mut Lane),
    window: &[u8; WINDOW],
    size: usize,
    output: &mut Vec<u8>,
) -> usize {
    let block = apply(rules, window);
    let size = size.min(whole_characters(window));
    let mut done = 0;
    loop {
        let end = done + count_known(&block.is_unknown[done..size]);
        output.extend_from_slice(&block.upper[done..end]);
        // Turkish is full of the one letter that gets shorter. To begin another block behind it would take too long.
        if end == size || !window[end..].starts_with("ı".as_bytes()) {
            return end;
        }
        output.push(b'I');
        done = end + "ı".len();
    }
}

/// How many bytes of the block are whole characters of up to three bytes. (No rule is about longer ones.)
fn whole_characters(window: &[u8; WINDOW]) -> usize {
    if window[LANES - 2] >= 0xE0 {
        LANES - 2
    } else if window[LANES - 1] >= 0xC2 {
        LANES - 1
    } else {
        LANES
    }
}

/// How many places there are before the first unknown one.
fn count_known(is_unknown: &[u8]) -> usize {
    // Most often there is none. A search that may stop anywhere is not compiled to vector code, so it comes second.
    if is_unknown.iter().fold(0, |any, is| any | is) == 0 {
        return is_unknown.len();
    }
    is_unknown.iter().take_while(|&&is| is == 0).count()
}

/// Converts text whose only letters with an upper case are ASCII: with so few questions it is faster than by rules.
fn convert_caseless(window: &[u8; WINDOW], size: usize, output: &mut Vec<u8>) -> usize {
    let mut is_unknown = [0; LANES];
    for at in 0..LANES {
        is_unknown[at] = u8::from(may_be_letter(window[at], window[at + 1]));
    }
    let size = count_known(&is_unknown[..size]);
    output.extend(window[..size].iter().map(u8::to_ascii_uppercase));
    size
}

/// Whether a character, not ASCII, that begins with these bytes may have another upper case.
fn may_be_letter(first: u8, second: u8) -> bool {
    is_within(first, 0xC2, 0xD6)
        | (first == 0xE1)
        | ((first == 0xE2) & !is_within(second, 0x80, 0x84) & !is_within(second, 0x94, 0xAF))
        | ((first == 0xEA) & (second < 0xB0))
        | ((first == 0xEF) & !is_within(second, 0xB8, 0xBC))
        | ((first == 0xF0) & (second != 0x9F))
}
