//! How short an answer may be: a shorter one has been cut.

/// Returns the size of the shortest possible answer to `sentence`.
///
/// A server may know only ASCII or an older Unicode, and leave a character as it is. So for each
/// character the shorter of the two counts: itself or its upper case.
pub(super) fn shortest_answer(sentence: &[u8]) -> usize {
    let mut shortest = 0;
    // A chunk is valid UTF-8 followed by a few bytes that are not.
    for chunk in sentence.utf8_chunks() {
        for character in chunk.valid().chars() {
            let upper: usize = character.to_uppercase().map(char::len_utf8).sum();
            shortest += upper.min(character.len_utf8());
        }
        shortest += chunk.invalid().len();
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::shortest_answer;

    #[test]
    fn the_shortest_answer_by_character() {
        assert_eq!(shortest_answer(b""), 0);
        assert_eq!(shortest_answer(b"hello"), 5);
        // `ı` has two bytes, and its upper case `I` has one.
        assert_eq!(shortest_answer("kıl".as_bytes()), 3);
        // What grows may be left as it is: two bytes that become three or six.
        assert_eq!(shortest_answer("ŉ\u{390}".as_bytes()), 4);
        assert_eq!(shortest_answer(b"\xFF\xFEx\xC4"), 4);
    }
}
