//! What the two programs share: the way they read seconds and report trouble.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Reads a flag's seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.001..=86400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give seconds from 0.001 to 86400, for example 5 or 0.5".into())
}

/// Writes a line to stderr, in one piece; that stderr is closed or full must not end a program.
pub(crate) fn note(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Reports `result`'s error with its causes.
pub(crate) fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
