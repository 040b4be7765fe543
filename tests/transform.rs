//! The transform against its oracle: a few lines on [`char::to_uppercase`].
//!
//! The fast layer works on blocks of 192 bytes, and it looks at pairs of bytes. So the letters stand
//! alone, at places across the end of a block, and every pair of bytes is tried.

use std::io::{self, ErrorKind, Read};

use uppercase_echo::{copy_uppercase, uppercase};

/// Text of many scripts, with the letters that are special in each.
const TEXTS: &[&str] = &[
    "Hello, world. “Don’t,” she said… – it’s 5 € for ① ☕ ❤️",
    "straße, Ÿ ÿ µ ŉ ǆ ǅ ɖɛɔ ⱥ ⅷ ⓐ ﬃ ａｚ",
    "ąćęłńóśźż ěšťůžý ıİiI ğşıııı ơƠưƯ ạếềỿẖẗẘẙẚẞ",
    "άέήίαβορςπστωϊϋόύώϐΐΰ ἀὄᾳῷ ἐν ἀρχῇ",
    "Ѐабвпрсяѐёџѡ ґҐқӘәӀӏӿ ᲀ ꙁ ꚁ",
    "աբկհտրֆև აბგჰჺჽჿ ᲐᲿ ⴀ ᏸ ꭰ",
    "안녕하세요 東京。ｶﾅ مرحبا नमस्ते ខ្មែរ",
    "𐐨𐐀𐓘𑣀𖹠𞤢 😀👍🏽 𝒶 𠀀",
];

/// What is not UTF-8, or not yet.
const BROKEN: &[&[u8]] = &[
    b"\xFF",
    b"\x80",
    b"\xC3",
    b"\xE1",
    b"\xE1\x83",
    b"\xE2\xB0",
    b"\xE2\x80",
    b"\xF0\x90\x90",
    b"\xED\xA0\x80",
    b"\xC1\xA1\xE0\x81\xA1\xF0\x80\x81\xA1",
    b"\xC3a\xE1\x83b\xE2\xB0c\xF0\x90\x90d",
    b"\xC3\xC3\xA9\xE1\xE1\x83\x90\xE1\xC3\xA9",
];

fn oracle(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for chunk in bytes.utf8_chunks() {
        let upper: String = chunk.valid().chars().flat_map(char::to_uppercase).collect();
        output.extend_from_slice(upper.as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
}

#[track_caller]
fn check(input: &[u8]) {
    let start = &input[..input.len().min(300)];
    assert!(uppercase(input) == oracle(input), "{start:x?}");
}

/// What one read brings: bytes, or an error.
type Part<'a> = Result<&'a [u8], ErrorKind>;

/// Each read takes the next part.
struct Parts<'a>(&'a [Part<'a>]);

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((part, later)) = self.0.split_first() else {
            return Ok(0);
        };
        self.0 = later;
        let mut bytes = (*part)?;
        bytes.read(buffer)
    }
}

/// Cuts a stream at every place, and between all bytes.
#[track_caller]
fn check_stream(input: &[u8]) {
    let expected = oracle(input);
    let check_parts = |parts: &[Part]| {
        let mut output = Vec::new();
        copy_uppercase(Parts(parts), &mut output).unwrap();
        assert_eq!(output, expected, "{parts:x?}");
    };
    for at in 1..=input.len() {
        check_parts(&[Ok(&input[..at]), Ok(&input[at..])]);
    }
    let bytes: Vec<Part> = input.chunks(1).map(Ok).collect();
    check_parts(&bytes);
}

fn all_characters() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// Places at the beginning of a block, and around its end.
fn places() -> impl Iterator<Item = usize> {
    (0..8).chain(180..195)
}

#[test]
fn known_answers() {
    for (what, input, expected) in [
        ("ASCII", "hello, World 123\0\r\n", "HELLO, WORLD 123\0\r\n"),
        ("two letters from one", "straße", "STRASSE"),
        ("longer", "ŉ, \u{390}", "ʼN, \u{399}\u{308}\u{301}"),
        ("shorter", "ısı, ﬃ, ᲀ", "ISI, FFI, В"),
        ("another first byte", "ÿ, ещё", "Ÿ, ЕЩЁ"),
        ("no final sigma", "σοφός", "ΣΟΦΌΣ"),
        ("three bytes", "phở, ქართული", "PHỞ, ᲥᲐᲠᲗᲣᲚᲘ"),
        ("four bytes", "𐐨, 😀a", "𐐀, 😀A"),
        ("without case", "안녕, 東京", "안녕, 東京"),
    ] {
        assert_eq!(uppercase(input.as_bytes()), expected.as_bytes(), "{what}");
    }
    for (what, input, expected) in [
        ("nothing", &b""[..], &b""[..]),
        ("a wrong byte", b"a\xFFb", b"A\xFFB"),
        ("cut at the end", b"a\xE1\x83", b"A\xE1\x83"),
        ("cut by ASCII", b"\xC3a\xE1\x83b", b"\xC3A\xE1\x83B"),
        ("cut by a letter", b"\xC3\xC3\xA9", b"\xC3\xC3\x89"),
        ("a surrogate", b"a\xED\xA0\x80b", b"A\xED\xA0\x80B"),
        (
            "an overlong a",
            b"\xC1\xA1\xE0\x81\xA1",
            b"\xC1\xA1\xE0\x81\xA1",
        ),
    ] {
        assert_eq!(uppercase(input), expected, "{what}");
    }
}

#[test]
fn every_character_alone() {
    for character in all_characters() {
        check(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[test]
fn every_character_inside_other_text() {
    let text: String = all_characters().collect();
    check(text.as_bytes());
    for other in ["a", "ß", "ı", "ა"] {
        let text: String = all_characters()
            .flat_map(|it| [it.to_string(), other.to_owned()])
            .collect();
        check(text.as_bytes());
    }
}

#[test]
fn broken_bytes_at_every_place() {
    for text in TEXTS {
        for broken in BROKEN {
            for place in places() {
                let before = format!("{text}{}", "a".repeat(place));
                check(&[before.as_bytes(), broken].concat());
                check(&[before.as_bytes(), broken, text.as_bytes()].concat());
            }
        }
    }
}

#[test]
fn every_pair_of_bytes_and_what_may_follow() {
    let third = [
        0x00, 0x61, 0x7F, 0x80, 0x90, 0xAC, 0xB5, 0xBF, 0xC3, 0xE1, 0xF0, 0xFF,
    ];
    let fourth = [0x61, 0x80, 0xAC, 0xBF, 0xC3];
    for first in 0..=0xFF {
        for second in 0..=0xFF {
            check(&[first, second]);
            let mut text = Vec::new();
            for third in third {
                for fourth in fourth {
                    text.extend([first, second, third, fourth, b'x']);
                }
            }
            check(&text);
        }
    }
}

#[test]
fn random_text_and_bytes() {
    let mut random = random();
    let mut below = |limit: usize| (random() >> 32) as usize % limit;
    let letters: Vec<char> = TEXTS.iter().flat_map(|text| text.chars()).collect();
    for _ in 0..5_000 {
        let mut input = Vec::new();
        for _ in 0..below(200) {
            match below(20) {
                0 => input.push(below(256) as u8),
                1 => input.extend_from_slice(BROKEN[below(BROKEN.len())]),
                2 => input.extend_from_slice(&b"several letters of ascii"[below(24)..]),
                _ => {
                    let letter = letters[below(letters.len())];
                    input.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        check(&input);
        let bytes: Vec<u8> = (0..below(400)).map(|_| below(256) as u8).collect();
        check(&bytes);
    }
}

#[test]
fn a_stream_does_not_depend_on_its_cuts() {
    for text in TEXTS {
        check_stream(text.as_bytes());
        check_stream(text.repeat(4).as_bytes());
        for broken in BROKEN {
            check_stream(&[broken, &text.as_bytes()[..7], broken].concat());
        }
    }
    let longer_than_any_buffer = TEXTS.concat().repeat(1_000);
    let mut output = Vec::new();
    copy_uppercase(longer_than_any_buffer.as_bytes(), &mut output).unwrap();
    let expected = oracle(longer_than_any_buffer.as_bytes());
    assert!(output == expected, "{} bytes differ", output.len());
}

#[test]
fn interrupted_reads_are_repeated() {
    let interrupted = Err(ErrorKind::Interrupted);
    let parts = [interrupted, Ok(&b"one, "[..]), interrupted, Ok(b"two")];
    let mut output = Vec::new();
    copy_uppercase(Parts(&parts), &mut output).unwrap();
    assert_eq!(output, b"ONE, TWO");
}

#[test]
fn the_readers_error_is_returned_after_what_it_read() {
    let parts = [Ok(&b"one"[..]), Err(ErrorKind::ConnectionReset)];
    let mut output = Vec::new();
    let error = copy_uppercase(Parts(&parts), &mut output).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(output, b"ONE");
}

#[test]
fn the_writers_error_is_returned() {
    let room_for_two = &mut [0; 2][..];
    let error = copy_uppercase(&b"one"[..], room_for_two).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
}

/// Because of this, the client can see that an answer was cut, and the server knows how much room an
/// answer may need.
#[test]
fn upper_case_keeps_newlines_and_nearly_the_length() {
    for character in all_characters() {
        let upper: String = character.to_uppercase().collect();
        assert_eq!(upper.contains('\n'), character == '\n', "{character:?}");
        let before = character.len_utf8();
        let after = upper.len();
        assert!(after <= 3 * before, "{character:?}");
        assert!(before <= 2 * after, "{character:?}");
    }
}

/// Random numbers, the same in each run: xorshift64.
fn random() -> impl FnMut() -> u64 {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
