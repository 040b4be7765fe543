//! The transform against its oracle: ten lines on `char::to_uppercase`.

use std::io::{self, Read};
use uppercase_echo::{copy, uppercase};

fn oracle(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    for chunk in bytes.utf8_chunks() {
        let upper: String = chunk.valid().chars().flat_map(char::to_uppercase).collect();
        output.extend_from_slice(upper.as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
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

#[track_caller]
fn check_parts(parts: Vec<&[u8]>, expected: &[u8]) {
    let mut output = Vec::new();
    copy(Parts(parts), &mut output).unwrap();
    assert_eq!(output, expected);
}

/// In one piece, at every split point, byte by byte, and behind a block of ASCII.
#[track_caller]
fn check(input: &[u8]) {
    let expected = oracle(input);
    assert_eq!(uppercase(input), expected, "{input:x?}");
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        check_parts(vec![first, second], &expected);
    }
    check_parts(input.chunks(1).collect(), &expected);
    for before in (0..40).chain(236..260) {
        let moved = [vec![b'x'; before], input.to_vec(), vec![b'y'; 40]].concat();
        assert_eq!(uppercase(&moved), oracle(&moved), "{moved:x?}");
    }
}

#[test]
fn every_character() {
    let all: String = ('\0'..=char::MAX).collect();
    assert_eq!(uppercase(all.as_bytes()), oracle(all.as_bytes()));
    // Alone, and with each place in a block.
    for character in '\0'..=char::MAX {
        let text = character.to_string();
        assert_eq!(uppercase(text.as_bytes()), text.to_uppercase().as_bytes());
    }
    for shift in 1..=32 {
        let text = "-".repeat(shift) + &all;
        assert_eq!(uppercase(text.as_bytes()), oracle(text.as_bytes()));
    }
    let spread: String = all
        .chars()
        .flat_map(|character| [character, ' ', '하'])
        .collect();
    assert_eq!(uppercase(spread.as_bytes()), oracle(spread.as_bytes()));
}

#[test]
fn every_four_bytes_after_a_lead() {
    // Every pair after every byte, valid or not: a middle and a last byte, each of each kind.
    let some = [
        0x00, 0x61, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xAC, 0xB5, 0xBF, 0xC0, 0xC3, 0xE1, 0xF0,
        0xFF,
    ];
    for a in 0..=255 {
        for b in 0..=255 {
            for c in some {
                for d in some {
                    let input = [a, b, c, d];
                    assert_eq!(uppercase(&input), oracle(&input), "{input:x?}");
                }
            }
        }
    }
}

#[test]
fn boundaries() {
    // What grows, shrinks, has no case, lies on a plane of its own, or is cut, overlong, a surrogate or no UTF-8 at all.
    let table: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"hello, World 123\0\r\n", b"HELLO, WORLD 123\0\r\n"),
        ("straße".as_bytes(), b"STRASSE"),
        ("ŉ".as_bytes(), "ʼN".as_bytes()),
        ("ﬃ".as_bytes(), b"FFI"),
        ("\u{390}".as_bytes(), "\u{399}\u{308}\u{301}".as_bytes()),
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
        (
            b"\xC1\xA1\xE0\x81\xA1\xF0\x80\x81\xA1",
            b"\xC1\xA1\xE0\x81\xA1\xF0\x80\x81\xA1",
        ),
        (b"\xF0\x82\x9F\x83x", b"\xF0\x82\x9F\x83X"),
        (
            b"\xC3a\xE1\x83b\xF0\x90\x90c",
            b"\xC3A\xE1\x83B\xF0\x90\x90C",
        ),
        (
            b"\xC3\xC3\xA9\xE1\xE1\x83\x90",
            b"\xC3\xC3\x89\xE1\xE1\xB2\x90",
        ),
    ];
    for (input, expected) in table {
        assert_eq!(uppercase(input), *expected);
        check(input);
    }
}

/// xorshift64 with a fixed seed.
fn random() -> impl FnMut() -> u8 {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }
}

#[test]
fn random_bytes() {
    let mut random = random();
    let leads = [
        b'a', b' ', 0x80, 0x90, 0xAC, 0xB5, 0xC3, 0xCE, 0xD0, 0xE1, 0xE2, 0xEA, 0xEF, 0xF0, 0x9F,
        0xFF,
    ];
    for length in 0..200 {
        let input: Vec<u8> = (0..length).map(|_| random()).collect();
        check(&input);
        // Bytes of characters that have an upper case, so that they often meet.
        let input: Vec<u8> = (0..length)
            .map(|_| leads[usize::from(random() % 16)])
            .collect();
        check(&input);
    }
}

#[test]
fn longer_than_any_buffer() {
    let mut random = random();
    let input: Vec<u8> = (0..1_000_000)
        .map(|_| {
            if random() < 200 {
                b'a' + random() % 26
            } else {
                random()
            }
        })
        .collect();
    let mut output = Vec::new();
    copy(&input[..], &mut output).unwrap();
    assert_eq!(output, oracle(&input));
}

#[test]
fn interrupted_reads_are_repeated() {
    struct Interrupted(bool);
    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = !self.0;
            if self.0 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                (&b""[..]).read(buffer)
            }
        }
    }
    copy(Interrupted(false), io::sink()).unwrap();
}
