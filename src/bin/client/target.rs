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
            // How Windows reports a closed UDP port.
            ErrorKind::ConnectionReset if self.protocol == "udp" => self.nothing_is_listening(),
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
    fn check(host: &str, kind: ErrorKind, expected: &str) {
        let target = Target::new("udp", host, 12000, Duration::from_millis(1500));
        assert_eq!(format!("{:#}", target.explain(kind.into())), expected);
    }

    #[test]
    fn messages_for_the_user() {
        let start_it =
            "nothing is listening on udp localhost:12000; start it with: server --udp --port 12000";
        check("localhost", ErrorKind::ConnectionRefused, start_it);
        check("localhost", ErrorKind::ConnectionReset, start_it);
        check(
            "10.0.0.9",
            ErrorKind::ConnectionRefused,
            "nothing is listening on udp 10.0.0.9:12000",
        );
        check(
            "::1",
            ErrorKind::ConnectionRefused,
            "nothing is listening on udp [::1]:12000",
        );
        check(
            "localhost",
            ErrorKind::TimedOut,
            "no answer from udp localhost:12000 within 1.5 s",
        );
        check(
            "localhost",
            ErrorKind::UnexpectedEof,
            "udp localhost:12000 closed the connection before everything was sent and answered",
        );
        check(
            "localhost",
            ErrorKind::InvalidData,
            "udp localhost:12000 answers more than it was asked; is it an upper-case echo?",
        );
        check(
            "localhost",
            ErrorKind::OutOfMemory,
            "cannot talk to udp localhost:12000: out of memory",
        );
    }
}
