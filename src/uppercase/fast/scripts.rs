//! Facts about alphabets: the rules by which a script's letters become upper case.
//!
//! The bytes of each rule stand behind it, in hexadecimal. `tests/transform.rs` checks every
//! character.

/// One byte of a block and the two after it, as if a character began there. If the byte is ASCII,
/// or is not the first of its character, no rule matches.
pub(super) struct Lane {
    pub(super) bytes: [u8; 3],
    /// What to add to each of the bytes. Sums are taken modulo 256, so 0xFF is 1 less.
    pub(super) add: [u8; 3],
    /// Whether the upper case of what begins here is known, whatever follows.
    pub(super) is_known: bool,
}

/// The rules. The characters of a range differ only in their last byte, or the range has all
/// last bytes (80 to BF). So the bytes can be compared one by one. No two rules change the same
/// character.
impl Lane {
    /// The characters from `from` to `to` stay as they are, unless another rule changes them.
    fn keep(&mut self, from: char, to: char) {
        self.is_known |= self.is_between(from, to);
    }

    /// `from` becomes `upper`, the character after it becomes the one after `upper`, and so on
    /// until `to`.
    fn shift(&mut self, from: char, to: char, upper: char) {
        let applies = self.is_between(from, to);
        self.change(applies, utf8(from, 0), utf8(upper, 0));
    }

    /// From `upper` to `to`, upper and lower case take turns. A letter is lower case if its last
    /// byte and that of `lower` are both odd or both even.
    fn alternate(&mut self, upper: char, lower: char, to: char) {
        let last = lower.len_utf8() - 1;
        let is_lower = self.bytes[last] % 2 == utf8(lower, 0)[last] % 2;
        let is_between = self.is_between(upper, to);
        self.is_known |= is_between;
        self.change(is_between & is_lower, utf8(lower, 0), utf8(upper, 0));
    }

    /// Whether this is one of the characters from `from` to `to`.
    fn is_between(&self, from: char, to: char) -> bool {
        let [first, second, third] = self.bytes;
        // If the character has two bytes, the third may be any.
        let from = utf8(from, 0x00);
        let to = utf8(to, 0xFF);
        (from[0]..=to[0]).contains(&first)
            & (from[1]..=to[1]).contains(&second)
            & (from[2]..=to[2]).contains(&third)
    }

    /// If a rule applies, notes the difference of each byte: `mask & difference` is the difference
    /// or 0, without a branch. (As a loop over the three bytes it would not become vector
    /// instructions.)
    fn change(&mut self, applies: bool, from: [u8; 3], to: [u8; 3]) {
        let mask = if applies { 0xFF } else { 0 };
        self.add[0] = self.add[0].wrapping_add(mask & to[0].wrapping_sub(from[0]));
        self.add[1] = self.add[1].wrapping_add(mask & to[1].wrapping_sub(from[1]));
        self.add[2] = self.add[2].wrapping_add(mask & to[2].wrapping_sub(from[2]));
        self.is_known |= applies;
    }
}

/// The bytes of a character that has two or three. If it has two, the third is `fill`.
fn utf8(character: char, fill: u8) -> [u8; 3] {
    let mut bytes = [fill; 4];
    character.encode_utf8(&mut bytes);
    [bytes[0], bytes[1], bytes[2]]
}

/// Punctuation that stands between the letters of any script.
pub(super) fn signs(lane: &mut Lane) {
    lane.keep('\u{80}', '´'); // C2 80..B4, as in C2 AB «. Behind them is µ, a small letter.
    lane.keep('¶', '¿'); // C2 B6..BF, as in C2 BB »
    lane.keep('\u{2000}', '\u{213F}'); // E2 80 80..E2 84 BF, as in E2 80 99 ’
}

/// Latin-1: German, Spanish, Portuguese, the Nordic languages, ... Without ÷ and ÿ, C3 B7 and BF,
/// which are rare.
pub(super) fn latin_1(lane: &mut Lane) {
    lane.keep('À', 'Þ'); // C3 80..9E
    let is_sharp_s = lane.is_between('ß', 'ß');
    // C3 9F becomes 53 53: two characters, and as many bytes. There is no third byte to change.
    lane.change(is_sharp_s, utf8('ß', 0), *b"SS\0");
    lane.shift('à', 'ö', 'À'); // C3 A0..B6: 20 hex less
    lane.shift('ø', 'þ', 'Ø'); // C3 B8..BE: 20 hex less
}

/// The letters of Polish, Czech, Turkish, Romanian, Vietnamese, ... as well.
pub(super) fn latin(lane: &mut Lane) {
    latin_1(lane);
    lane.alternate('Ā', 'ā', 'İ'); // C4 80..B0, as in C4 84 Ą, C4 85 ą. Behind them is ı.
    lane.alternate('Ĳ', 'ĳ', 'ķ'); // C4 B2..B7
    lane.alternate('Ĺ', 'ĺ', 'ľ'); // C4 B9..BE
    lane.alternate('Ł', 'ł', 'ň'); // C5 81..88, as in C5 81 Ł, C5 82 ł
    lane.alternate('Ŋ', 'ŋ', 'Ÿ'); // C5 8A..B8
    lane.alternate('Ź', 'ź', 'ž'); // C5 B9..BE
    lane.alternate('Ơ', 'ơ', 'ơ'); // C6 A0, C6 A1
    lane.alternate('Ư', 'ư', 'ư'); // C6 AF, C6 B0
    lane.alternate('Ȁ', 'ȁ', 'ȟ'); // C8 80..9F, as in C8 98 Ș, C8 99 ș
    lane.alternate('Ạ', 'ạ', 'ế'); // E1 BA A0..BF
    lane.alternate('Ề', 'ề', 'ỿ'); // E1 BB 80..BF
}

pub(super) fn greek(lane: &mut Lane) {
    lane.keep('Ά', 'Ώ'); // CE 86..8F
    lane.keep('Α', 'Ϋ'); // CE 91..AB
    lane.shift('ά', 'ά', 'Ά'); // CE AC: CE 86
    lane.shift('έ', 'ί', 'Έ'); // CE AD..AF: CE 88..8A
    lane.shift('α', 'ο', 'Α'); // CE B1..BF: 20 hex less
    lane.shift('π', 'ρ', 'Π'); // CF 80..81: CE A0..A1
    lane.shift('ς', 'ς', 'Σ'); // CF 82, at the end of a word: CE A3
    lane.shift('σ', 'ϋ', 'Σ'); // CF 83..8B: CE A3..AB
    lane.shift('ό', 'ό', 'Ό'); // CF 8C: CE 8C
    lane.shift('ύ', 'ώ', 'Ύ'); // CF 8D..8E: CE 8E..8F
}

pub(super) fn cyrillic(lane: &mut Lane) {
    lane.keep('Ѐ', 'Я'); // D0 80..AF
    lane.shift('а', 'п', 'А'); // D0 B0..BF: 20 hex less
    lane.shift('р', 'я', 'Р'); // D1 80..8F: D0 A0..AF
    lane.shift('ѐ', 'џ', 'Ѐ'); // D1 90..9F: D0 80..8F
    lane.alternate('Ҋ', 'ҋ', 'ҿ'); // D2 8A..BF, as in D2 90 Ґ, D2 91 ґ
    lane.alternate('Ӑ', 'ӑ', 'ӿ'); // D3 90..BF, as in D3 98 Ә, D3 99 ә
}

pub(super) fn armenian(lane: &mut Lane) {
    lane.keep('Ա', 'Կ'); // D4 B1..BF
    lane.keep('Հ', 'Ֆ'); // D5 80..96
    lane.keep('՚', '՟'); // D5 9A..9F, punctuation
    lane.shift('ա', 'կ', 'Ա'); // D5 A1..AF: D4 B1..BF
    lane.shift('հ', 'տ', 'Հ'); // D5 B0..BF: D5 80..8F
    lane.shift('ր', 'ֆ', 'Ր'); // D6 80..86: D5 90..96
}

pub(super) fn georgian(lane: &mut Lane) {
    lane.shift('ა', 'ჺ', 'Ა'); // E1 83 90..BA: E1 B2 and the same
}
