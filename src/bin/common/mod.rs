//! What the two programs share: how they read flags and report trouble.

use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;

/// Reads a flag's seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(seconds) if (0.001..=86400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give seconds from 0.001 to 86400, for example 5 or 0.5"),
    }
}

/// Returns every address that the system knows for `host`.
pub(crate) fn resolve(host: &str, port: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = (host, port).to_socket_addrs().map(Iterator::collect);
    addresses.with_context(|| format!("cannot resolve {host}"))
}

/// Writes a line to stderr, in one piece; that stderr is closed or full must not end a program.
pub(crate) fn note(line: Arguments) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Ends the program with an error and its causes. When several threads fail, only the first is heard: it keeps stderr.
pub(crate) fn fail(error: impl Display) -> ! {
    let _stderr = io::stderr().lock();
    note(format_args!("error: {error:#}"));
    std::process::exit(1)
}
