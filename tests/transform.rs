//! The transform against its oracle: ten lines on `char::to_uppercase`.
//!
//! Promise: TCP answers.
//!
//! The transform works on blocks of 128 bytes, by the rules of one script at a time. So characters stand at every place of
//! a block and across its end, in the script that they belong to and in others.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use uppercase_echo::{copy, uppercase};

/// Text in each script that has rules of its own, in some that have none, and in none, with what is special in it.
const SCRIPTS: &[&str] = &[
    "Hello, world. The quick brown fox jumps over the lazy dog.",
    "“Don’t,” she said… – it’s 5 € for ① ☕ ❤️ ↄ ⅷ ℓ ⱥ ⴀ ",
    "àöøþÿßŸß÷×ÀÞ µ ª«°»¿ÿz",
    "œuvre, Œuvre, sœur, café",
    "ąćęłńóśźż řěšťůžý ŀĿĸŉſ ıİiIğş ĳķĺľňŋŷȁșțȟ āįĶĹŁŊŹ",
    "ıııııııııııııııııııııııııııııııııııııııı",
    "ạếềỿẖẗẘẙẚẛẜẝẞẟ ơƠưƯ ằỗữ",
    "άέήίαβορςπστωϊϋόύώϐΐΰΆΏΑΫϏͅͰ",
    "ἀὄᾳῷ ἐν ἀρχῇ",
    "Ѐабвпрсяѐёџѡѣ ґҐқӘәӀӁӂӏӿҁ҂",
    "աբկհտրֆև ԱՖ ծ",
    "აბგჰჺჼჽჿ ᲐᲿ ⴀ ᏸ ꭰ ქართული",
    "안녕하세요, 가각",
    "ꙁꚁꜣꞵ꟏ ꀀ ꦀ ",
    "東京、日本語。ｶﾅ ａｚＡ！",
    "مرحبا नमस्ते สวัสดี ខ្មែរ မြန်",
    "𐐨𐐀𐓘𑣀𖹠𞤢 😀👍🏽 𝒶 𠀀",
    "ɖɛɔƒǎǐšɫ ŋŋ",
];

/// What is no UTF-8, or not yet.
const BROKEN: &[&[u8]] = &[
    b"\xFF",
    b"\x80",
    b"\xC3",
    b"\xC4",
    b"\xE1\x83",
    b"\xE1\xBA",
    b"\xE2\x80",
    b"\xF0\x90\x90",
    b"\xF0\x9F",
    b"\xED\xA0\x80",
    b"\xC1\xA1\xE0\x81\xA1\xF0\x80\x81\xA1",
    b"\xF0\x82\x9F\x83",
    b"\xC3a\xE1\x83b\xF0\x90\x90c",
    b"\xC3\xC3\xA9\xE1\xE1\x83\x90",
    b"\xD0\xD0\xB0\xCF\xCE\xB1",
];

/// Numbers below a limit.
fn random_below() -> impl FnMut(usize) -> usize {
    let mut random = common::random();
    move |limit| (random() >> 32) as usize % limit
}

fn oracle(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for chunk in bytes.utf8_chunks() {
        let upper: String = chunk.valid().chars().flat_map(char::to_uppercase).collect();
        output.extend_from_slice(upper.as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
}

/// In one piece.
#[track_caller]
fn check(input: &[u8]) {
    let output = uppercase(input);
    let expected = oracle(input);
    // Of a long text, only what is around the first difference.
    let same = output.iter().zip(&expected).take_while(|(a, b)| a == b);
    let from = same.count().saturating_sub(100);
    assert!(
        output == expected,
        "{:x?}, then {:x?} instead of {:x?}",
        &input[..input.len().min(200)],
        &output[from..output.len().min(from + 200)],
        &expected[from..expected.len().min(from + 200)]
    );
}

/// Hands out its parts, one a read.
struct Parts<'a>(Vec<&'a [u8]>);

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        self.0.remove(0).read(buffer)
    }
}

/// As a stream, in one piece, at every split point and byte by byte.
#[track_caller]
fn check_stream(input: &[u8]) {
    let expected = oracle(input);
    let mut cuts: Vec<Vec<&[u8]>> = (1..input.len())
        .map(|at| vec![&input[..at], &input[at..]])
        .collect();
    cuts.push(vec![input]);
    cuts.push(input.chunks(1).collect());
    for parts in cuts {
        let mut output = Vec::new();
        copy(Parts(parts.clone()), &mut output).unwrap();
        assert_eq!(output, expected, "{parts:x?}");
    }
}

fn all_characters() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

mod the_upper_case {
    use super::*;

    /// More places than a block has, and the bytes that are looked at behind it.
    const PLACES: usize = 135;

    #[test]
    fn every_character() {
        let all: String = all_characters().collect();
        check(all.as_bytes());
        let among_ascii: String = all_characters()
            .flat_map(|character| [character, 'a'])
            .collect();
        check(among_ascii.as_bytes());
    }

    #[test]
    fn every_character_that_changes_at_every_place() {
        let changes = |character: &char| !character.to_uppercase().eq([*character]);
        for character in all_characters().filter(changes) {
            for place in 0..PLACES {
                // The first one decides which script's rules the block has.
                let text = format!("{character}{}{character}bc", "a".repeat(place));
                check(text.as_bytes());
            }
        }
    }

    #[test]
    fn every_script_at_every_place_among_every_other() {
        for around in SCRIPTS {
            for script in SCRIPTS {
                for place in 0..PLACES {
                    let text = format!("{around}{}{script}{around}", "a".repeat(place));
                    check(text.as_bytes());
                }
            }
        }
    }

    #[test]
    fn broken_bytes_at_every_place_of_every_script() {
        for around in SCRIPTS {
            for broken in BROKEN {
                for place in 0..PLACES {
                    let before = format!("{around}{}", "a".repeat(place));
                    check(&[before.as_bytes(), broken].concat());
                    check(&[before.as_bytes(), broken, around.as_bytes()].concat());
                }
            }
        }
    }

    #[test]
    fn every_pair_of_bytes_and_what_may_follow() {
        // Every pair that begins with a lead byte, valid or not, and a few that do not, then a byte of each kind, twice.
        let third = [
            0x00, 0x61, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xAC, 0xB5, 0xBF, 0xC0, 0xC3, 0xE1,
            0xF0, 0xFF,
        ];
        let fourth = [0x61, 0x80, 0xAC, 0xBF, 0xC3];
        for first in [0x61, 0x80, 0xBF].into_iter().chain(0xC0..=0xFF) {
            for second in 0..=255 {
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
    fn known_answers() {
        // What grows, shrinks, has no case, lies on a plane of its own, or is cut, overlong, a surrogate or no UTF-8 at all.
        let table: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"hello, World 123\0\r\n", b"HELLO, WORLD 123\0\r\n"),
            ("straße".as_bytes(), b"STRASSE"),
            ("ÿ, µ".as_bytes(), "Ÿ, Μ".as_bytes()),
            ("cœur".as_bytes(), "CŒUR".as_bytes()),
            ("ŉ".as_bytes(), "ʼN".as_bytes()),
            ("ısı".as_bytes(), b"ISI"),
            ("ﬃ".as_bytes(), b"FFI"),
            ("phở".as_bytes(), "PHỞ".as_bytes()),
            ("σοφός".as_bytes(), "ΣΟΦΌΣ".as_bytes()),
            ("\u{390}".as_bytes(), "\u{399}\u{308}\u{301}".as_bytes()),
            ("ещё ґанок".as_bytes(), "ЕЩЁ ҐАНОК".as_bytes()),
            ("\u{587}".as_bytes(), "\u{535}\u{552}".as_bytes()),
            ("ქართული".as_bytes(), "ᲥᲐᲠᲗᲣᲚᲘ".as_bytes()),
            ("𐐨".as_bytes(), "𐐀".as_bytes()),
            ("안녕, 가각".as_bytes(), "안녕, 가각".as_bytes()),
            ("a😀b".as_bytes(), "A😀B".as_bytes()),
            (b"a\xFFb", b"A\xFFB"),
            (b"a\xC3", b"A\xC3"),
            (b"a\xE1\x83", b"A\xE1\x83"),
            (b"a\xF0\x90\x90", b"A\xF0\x90\x90"),
            (b"a\xED\xA0\x80b", b"A\xED\xA0\x80B"),
            (b"\xC1\xA1\xE0\x81\xA1", b"\xC1\xA1\xE0\x81\xA1"),
            (b"\xC3a\xE1\x83b", b"\xC3A\xE1\x83B"),
            (b"\xC3\xC3\xA9", b"\xC3\xC3\x89"),
        ];
        for (input, expected) in table {
            assert_eq!(uppercase(input), *expected);
            check_stream(input);
        }
    }

    #[test]
    fn random_bytes_and_characters() {
        let mut random = random_below();
        // Bytes of characters that have an upper case, so that they often meet.
        let bytes =
            b"a \x80\x90\xAC\xB1\xB5\x83\xBA\xC3\xC4\xC5\xCE\xCF\xD0\xD1\xE1\xE2\xEA\xEF\xF0\x9F\xFF";
        let letters: Vec<char> = SCRIPTS.iter().flat_map(|script| script.chars()).collect();
        for length in 0..6_000 {
            let length = length % 300;
            let any: Vec<u8> = (0..length).map(|_| random(256) as u8).collect();
            check(&any);
            let meeting: Vec<u8> = (0..length).map(|_| bytes[random(bytes.len())]).collect();
            check(&meeting);
            let text: String = (0..length)
                .map(|_| letters[random(letters.len())])
                .collect();
            check(text.as_bytes());
        }
    }

    #[test]
    fn every_character_keeps_what_the_client_counts_on() {
        for character in all_characters() {
            let upper: String = character.to_uppercase().collect();
            let (before, after) = (character.len_utf8(), upper.len());
            assert!(after <= 3 * before && before <= 2 * after, "{character:?}");
            assert_eq!(upper.contains('\n'), character == '\n', "{character:?}");
        }
    }
}

mod tcp_answers {
    use super::*;

    #[test]
    fn every_stream_is_independent_of_its_cuts() {
        for script in SCRIPTS {
            check_stream(script.as_bytes());
            check_stream(script.repeat(4).as_bytes());
            for broken in BROKEN {
                check_stream(&[broken, &script.as_bytes()[..7], broken].concat());
            }
        }
    }

    #[test]
    fn longer_than_any_buffer() {
        let mut random = random_below();
        let mut input = Vec::new();
        while input.len() < 1_000_000 {
            if random(100) == 0 {
                input.push(random(256) as u8);
            } else {
                input.extend_from_slice(SCRIPTS[random(SCRIPTS.len())].as_bytes());
            }
        }
        let mut output = Vec::new();
        copy(&input[..], &mut output).unwrap();
        assert!(output == oracle(&input), "the output differs");
    }

    /// Says `Interrupted` before each call that it lets through. If it has an error, a reader says it at the end, and a writer
    /// at the first write.
    struct Interrupting<T> {
        inner: T,
        is_next: bool,
        error: Option<ErrorKind>,
    }

    impl<T> Interrupting<T> {
        fn new(inner: T, error: Option<ErrorKind>) -> Self {
            let is_next = true;
            Self {
                inner,
                is_next,
                error,
            }
        }

        fn interrupt(&mut self) -> io::Result<()> {
            let is_now = self.is_next;
            self.is_next = !is_now;
            if is_now {
                return Err(ErrorKind::Interrupted.into());
            }
            Ok(())
        }
    }

    impl<T: Read> Read for Interrupting<T> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupt()?;
            match (self.inner.read(buffer)?, self.error) {
                (0, Some(error)) => Err(error.into()),
                (size, _) => Ok(size),
            }
        }
    }

    impl<T: Write> Write for Interrupting<T> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt()?;
            match self.error {
                Some(error) => Err(error.into()),
                None => self.inner.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            self.inner.flush()
        }
    }

    #[test]
    fn interrupted_calls_are_repeated() {
        let mut output = Vec::new();
        let reader = Interrupting::new(Parts(vec![b"one, ", b"two"]), None);
        let writer = Interrupting::new(&mut output, None);
        copy(reader, writer).unwrap();
        assert_eq!(output, b"ONE, TWO");
    }

    #[test]
    fn the_readers_error_is_returned_after_what_it_read() {
        let mut output = Vec::new();
        let reader = Interrupting::new(&b"one"[..], Some(ErrorKind::ConnectionReset));
        let error = copy(reader, &mut output).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(output, b"ONE");
    }

    #[test]
    fn the_writers_error_is_returned() {
        let writer = Interrupting::new(io::sink(), Some(ErrorKind::StorageFull));
        let error = copy(&b"one"[..], writer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
