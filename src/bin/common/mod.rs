//! What the two programs share: how they read flags, find addresses and report trouble.
//!
//! The errors are anyhow's. An [`Error`] holds an error of any type. `context` puts a sentence
//! before it, `anyhow!` makes an error from a text, and `bail!` returns such an error. `{:#}`
//! prints `sentence: error`. [`Result`] is a `Result` with this error.

use std::fmt::{self, Arguments, Display};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result};

/// Which of the two protocols a socket speaks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
}

impl Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

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
pub(crate) fn note(line: Arguments) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Reports a failure: the error and its causes. Returns the exit status for it.
pub(crate) fn fail(error: &Error) -> ExitCode {
    note(format_args!("error: {error:#}"));
    ExitCode::FAILURE
}
