//! Counts of what has gone through a connection, which show whether everything is answered.

use crate::uppercase::LONGEST_GROWTH;

/// A text has at most this many times the bytes of its upper case: `ı` has 2 bytes, its upper case
/// `I` has 1 (Unicode 17).
const LONGEST_SHRINKAGE: u64 = 2;

/// What has gone in one direction.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Count {
    bytes: u64,
    newlines: u64,
    /// Whether there are bytes behind the last newline: a line that has not ended yet.
    has_open_line: bool,
}

impl Count {
    /// Adds a chunk, which is not empty.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        // Up to 128 newlines can be counted in a `u8`. The compiler adds several `u8` at once in
        // one vector instruction, so this is much faster than to count all in a `u64`.
        for part in chunk.chunks(128) {
            let newlines: u8 = part.iter().map(|&byte| u8::from(byte == b'\n')).sum();
            self.newlines += u64::from(newlines);
        }
        self.has_open_line = !chunk.ends_with(b"\n");
    }

    pub(super) fn has_open_line(&self) -> bool {
        self.has_open_line
    }

    /// Whether this is the count of a complete answer to `sent`, as far as a count can show it.
    pub(super) fn is_answer_to(&self, sent: &Self) -> bool {
        self.newlines == sent.newlines
            && self.has_open_line == sent.has_open_line
            && LONGEST_SHRINKAGE * self.bytes >= sent.bytes
    }

    /// Whether this is more than an answer to `sent` can be.
    pub(super) fn is_more_than_answer_to(&self, sent: &Self) -> bool {
        if self.newlines == sent.newlines && self.has_open_line && !sent.has_open_line {
            // As "A\nB" to "a\n".
            return true;
        }
        self.newlines > sent.newlines || self.bytes > LONGEST_GROWTH as u64 * sent.bytes
    }
}
