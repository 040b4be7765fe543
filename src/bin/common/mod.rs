//! What the two programs share: how they read flags, find addresses and write to stderr.
//!
//! The errors are anyhow's. An [`Error`] holds an error of any type, and `context` puts a sentence
//! before it. `{:#}` prints `sentence: error`. `Result<T>` stands for `Result<T, Error>`.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result};

/// Reads a flag's seconds.
pub(crate) fn seconds(text: &str) -> std::result::Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give seconds from 0.001 to 86400, for example 5 or 0.5"),
    }
}

/// Returns every address that the system knows for `host`, each once.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let resolved = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {host}"))?;
    let mut addresses = Vec::new();
    for address in resolved {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Writes a line to stderr, in one piece. A stderr that is closed or full must not end a program.
pub(crate) fn note(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Reports a failure: the error and its causes. Returns the exit status for it.
pub(crate) fn fail(error: &Error) -> ExitCode {
    note(format_args!("error: {error:#}"));
    ExitCode::FAILURE
}
