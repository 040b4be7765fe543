//! Counts of what has gone through a connection, which show whether everything is answered.

use crate::uppercase::MAX_GROWTH_FACTOR;

/// Upper case has at least half as many bytes as its text: `ı` has 2 bytes, and its upper case `I`
/// has 1 (Unicode 17).
const MAX_SHRINK_FACTOR: u64 = 2;

/// How much has gone in one direction.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Count {
    bytes: u64,
    newlines: u64,
    /// Whether there are bytes behind the last newline: a line that has not ended yet.
    pub(super) has_open_line: bool,
}

impl Count {
    /// Adds a chunk. It is not empty, so its last byte shows whether a line is open.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        // Of 128 bytes, at most 128 are newlines: a `u8` can count them. The compiler adds several
        // `u8` in one vector instruction, which is much faster than counting in a `u64`.
        for part in chunk.chunks(128) {
            let newlines: u8 = part.iter().map(|&byte| u8::from(byte == b'\n')).sum();
            self.newlines += u64::from(newlines);
        }
        self.has_open_line = !chunk.ends_with(b"\n");
    }

    /// Whether this is the count of a complete answer to `sent`, as far as a count can show it.
    pub(super) fn is_answer_to(&self, sent: &Self) -> bool {
        let fewest_bytes = sent.bytes / MAX_SHRINK_FACTOR;
        self.newlines == sent.newlines
            && self.has_open_line == sent.has_open_line
            && self.bytes >= fewest_bytes
    }

    /// Whether this is more than an answer to `sent` can be.
    pub(super) fn is_more_than_answer_to(&self, sent: &Self) -> bool {
        let most_bytes = sent.bytes * MAX_GROWTH_FACTOR as u64;
        // Nothing was sent after the last newline, all newlines have come back, and still more
        // bytes have come: "A\nB" to "a\n".
        let has_unasked_line =
            self.newlines == sent.newlines && self.has_open_line && !sent.has_open_line;
        self.newlines > sent.newlines || self.bytes > most_bytes || has_unasked_line
    }
}
