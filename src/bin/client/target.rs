//! The server as the user has named it, and what its failures mean to the user.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::{Error, anyhow};

/// The server that the client talks to.
pub(crate) struct Target {
    protocol: &'static str,
    host: String,
    port: u16,
    timeout: Duration,
}

/// Its name in messages, such as `udp localhost:12000`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let is_ipv6_address = self.host.contains(':');
        if is_ipv6_address {
            write!(f, "{} [{}]:{}", self.protocol, self.host, self.port)
        } else {
            write!(f, "{} {}:{}", self.protocol, self.host, self.port)
        }
    }
}

impl Target {
    pub(crate) fn new(protocol: &'static str, host: &str, port: u16, timeout: Duration) -> Self {
        let host = host.to_owned();
        Self {
            protocol,
            host,
            port,
            timeout,
        }
    }

    /// Turns an error of the network into a message for the user.
    pub(crate) fn explain(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.nothing_is_listening(),
            ErrorKind::TimedOut => {
                let seconds = self.timeout.as_secs_f64();
                anyhow!("no answer from {self} within {seconds} s")
            }
            ErrorKind::UnexpectedEof => {
                anyhow!("{self} closed the connection before everything was sent and answered")
            }
            ErrorKind::InvalidData => {
                anyhow!("{self} answers more than it was asked; is it an upper-case echo?")
            }
            _ => Error::new(error).context(format!("cannot talk to {self}")),
        }
    }

    fn nothing_is_listening(&self) -> Error {
        let Self { protocol, port, .. } = self;
        if self.host == "localhost" {
            anyhow!(
                "nothing is listening on {self}; start it with: server --{protocol} --port {port}"
            )
        } else {
            anyhow!("nothing is listening on {self}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(protocol: &'static str, host: &str, kind: ErrorKind, expected: &str) {
        let target = Target::new(protocol, host, 12000, Duration::from_millis(1500));
        assert_eq!(format!("{:#}", target.explain(kind.into())), expected);
    }

    /// `tests/client.rs` shows the others.
    #[test]
    fn messages_for_the_user() {
        let start_it =
            "nothing is listening on udp localhost:12000; start it with: server --udp --port 12000";
        check("udp", "localhost", ErrorKind::ConnectionRefused, start_it);
        let reset = "cannot talk to tcp localhost:12000: connection reset";
        check("tcp", "localhost", ErrorKind::ConnectionReset, reset);
        let nothing = "nothing is listening on udp [::1]:12000";
        check("udp", "::1", ErrorKind::ConnectionRefused, nothing);
        let no_answer = "no answer from tcp localhost:12000 within 1.5 s";
        check("tcp", "localhost", ErrorKind::TimedOut, no_answer);
        let closed =
            "tcp localhost:12000 closed the connection before everything was sent and answered";
        check("tcp", "localhost", ErrorKind::UnexpectedEof, closed);
        let more = "tcp localhost:12000 answers more than it was asked; is it an upper-case echo?";
        check("tcp", "localhost", ErrorKind::InvalidData, more);
    }
}
