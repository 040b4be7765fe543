//! Reads lines from stdin, and prints their answers.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::{error, fmt};

use anyhow::{Error, Result};
use uppercase_echo::udp::MAX_DATAGRAM;

/// The lines of stdin, one after the other.
pub(crate) struct Lines {
    is_terminal: bool,
    /// How many have been read.
    count: u64,
    has_ended: bool,
}

/// A line of stdin.
pub(crate) struct Line {
    /// The first has number 1.
    pub(crate) number: u64,
    /// The line without its end.
    pub(crate) sentence: Vec<u8>,
    /// `\n`, or `\r\n` as a Windows console sends it, or nothing.
    end: &'static [u8],
}

impl Lines {
    pub(crate) fn new(is_terminal: bool) -> Self {
        Self {
            is_terminal,
            count: 0,
            has_ended: false,
        }
    }

    /// Returns the next line, after a prompt if stdin is a terminal. Returns `None` at the end of
    /// stdin.
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        let mut line = self.read()?;
        // An empty line still has its `\n`. Without any byte, stdin has ended.
        if line.is_empty() {
            // The shell's prompt shall begin on a new line.
            self.write_to_terminal("\n");
            return Ok(None);
        }
        let end: &[u8] = if line.ends_with(b"\r\n") {
            b"\r\n"
        } else if line.ends_with(b"\n") {
            b"\n"
        } else {
            // stdin has ended, or `read` has cut a line that is too long for a datagram. Either
            // way, this is the last line.
            self.has_ended = true;
            b""
        };
        line.truncate(line.len() - end.len());
        self.count += 1;
        Ok(Some(Line {
            number: self.count,
            sentence: line,
            end,
        }))
    }

    /// Writes to stderr, if the user is at a terminal. stderr may be closed: that is no failure.
    fn write_to_terminal(&self, text: &str) {
        if self.is_terminal {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    /// Reads a line with its end, after the prompt. Returns an empty line if stdin has ended.
    fn read(&self) -> Result<Vec<u8>> {
        if self.has_ended {
            return Ok(Vec::new());
        }
        self.write_to_terminal("Input lowercase sentence: ");
        let most = if self.is_terminal {
            // The whole line. If it were cut, the rest would be taken for the next line.
            u64::MAX
        } else {
            // Only UDP reads lines from a pipe. A line that is too long for a datagram ends the
            // program. The line may be endless, so not all of it is read: one byte more than fits,
            // and two for the line's end, are enough to know.
            MAX_DATAGRAM as u64 + 3
        };
        let mut line = Vec::new();
        let mut stdin = io::stdin().lock().take(most);
        stdin.read_until(b'\n', &mut line).map_err(stdin_error)?;
        Ok(line)
    }
}

impl Line {
    /// Prints the answer to this line, with the line's own end.
    pub(crate) fn print(&self, mut answer: Vec<u8>) -> Result<()> {
        answer.extend_from_slice(self.end);
        let mut stdout = io::stdout().lock();
        stdout.write_all(&answer).map_err(stdout_error)?;
        stdout.flush().map_err(stdout_error)
    }
}

pub(crate) fn stdin_error(error: io::Error) -> Error {
    Error::new(error).context("cannot read stdin")
}

pub(crate) fn stdout_error(error: io::Error) -> Error {
    match error.kind() {
        // If stdout is a socket, it is reset when its reader leaves before it has read everything.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::new(ReaderLeft),
        _ => Error::new(error).context("cannot write to stdout"),
    }
}

/// The reader of stdout has closed it. That is no failure: `head`, for example, leaves when it has
/// got enough.
#[derive(Debug)]
pub(crate) struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the reader of stdout has left")
    }
}

impl error::Error for ReaderLeft {}
