//! Asks line by line, and deals with failures of stdin and stdout.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use uppercase_echo::udp::MAX_DATAGRAM;

use crate::common;

pub(crate) const STDIN_FAILED: &str = "cannot read stdin";

/// Calls `ask` with the number of each line of stdin and its sentence, and prints the answer. The
/// line's newline is not part of the sentence: it is put back behind the answer.
///
/// At a terminal, a failed line is not the end: the user sees the error, and may type another.
pub(crate) fn ask_each(mut ask: impl FnMut(u64, &[u8]) -> Result<Vec<u8>>) -> Result<ExitCode> {
    let is_terminal = io::stdin().is_terminal();
    // A line may be endless. One byte more than fits in a datagram shows that it is too long. (A
    // terminal hands over at most 4,095 bytes.)
    let longest = MAX_DATAGRAM as u64 + 1;
    let mut exit_code = ExitCode::SUCCESS;
    for number in 1.. {
        if is_terminal {
            // stderr may be closed: that is no failure.
            let _ = io::stderr().write_all(b"Input lowercase sentence: ");
        }
        let mut line = Vec::new();
        let mut stdin = io::stdin().lock().take(longest);
        stdin.read_until(b'\n', &mut line).context(STDIN_FAILED)?;
        let has_newline = line.ends_with(b"\n");
        let is_last = !has_newline && (line.len() as u64) < longest;
        if has_newline {
            line.pop();
        } else if line.is_empty() {
            break;
        }
        match ask(number, &line) {
            Ok(mut answer) => {
                if has_newline {
                    answer.push(b'\n');
                }
                if let Err(error) = print(&answer) {
                    return stdout_failed(error);
                }
            }
            Err(error) if is_terminal => exit_code = common::fail(&error),
            Err(error) => return Err(error),
        }
        if is_last {
            break;
        }
    }
    if is_terminal {
        common::note(""); // so that the shell's prompt begins on a new line
    }
    Ok(exit_code)
}

fn print(answer: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(answer)?;
    stdout.flush()
}

/// Returns success if stdout's reader has left early, as `head` does, and otherwise the error.
pub(crate) fn stdout_failed(error: io::Error) -> Result<ExitCode> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        _ => Err(error).context("cannot write to stdout"),
    }
}
