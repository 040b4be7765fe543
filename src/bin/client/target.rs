//! The server as the user has named it, and what its failures mean to the user.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::{Error, anyhow};

use crate::common::Protocol;

/// The server that the client talks to.
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The longest wait for a connection or an answer.
    pub(crate) timeout: Duration,
    /// Whether the user could start the server here.
    pub(crate) is_on_this_machine: bool,
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
    /// Turns an error of connecting into a message for the user.
    pub(crate) fn explain_connect(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.nobody_is_listening(),
            ErrorKind::TimedOut => {
                let seconds = self.timeout.as_secs_f64();
                anyhow!("cannot connect to {self} within {seconds} s")
            }
            _ => Error::new(error).context(format!("cannot connect to {self}")),
        }
    }

    /// Turns any other error of the network into a message for the user.
    pub(crate) fn explain(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::ConnectionRefused => self.nobody_is_listening(),
            // This is how Windows reports a closed UDP port.
            ErrorKind::ConnectionReset if self.protocol == Protocol::Udp => {
                self.nobody_is_listening()
            }
            ErrorKind::TimedOut => {
                let seconds = self.timeout.as_secs_f64();
                anyhow!("no answer from {self} within {seconds} s")
            }
            ErrorKind::UnexpectedEof => {
                anyhow!("{self} closed the connection before answering everything")
            }
            ErrorKind::InvalidData => {
                anyhow!("{self} answers more than it was asked; is it an upper-case echo?")
            }
            _ => Error::new(error).context(format!("cannot talk to {self}")),
        }
    }

    fn nobody_is_listening(&self) -> Error {
        if !self.is_on_this_machine {
            return anyhow!("nothing is listening on {self}");
        }
        let mut command = format!("server --{}", self.protocol);
        // The server listens on localhost unless it is told otherwise.
        if self.host != "localhost" {
            command += " --host ";
            command += &self.host;
        }
        anyhow!(
            "nothing is listening on {self}; start it with: {command} --port {}",
            self.port
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Tcp, Udp};

    /// What the user is told of this failure of `udp localhost:12000` or `tcp localhost:12000`.
    fn explained(protocol: Protocol, kind: ErrorKind) -> String {
        let target = Target {
            protocol,
            host: "localhost".to_owned(),
            port: 12000,
            timeout: Duration::from_millis(1500),
            is_on_this_machine: false,
        };
        format!("{:#}", target.explain(kind.into()))
    }

    #[test]
    fn a_reset_of_udp_is_a_closed_port() {
        let nobody = "nothing is listening on udp localhost:12000";
        assert_eq!(explained(Udp, ErrorKind::ConnectionRefused), nobody);
        assert_eq!(explained(Udp, ErrorKind::ConnectionReset), nobody);
        let reset = "cannot talk to tcp localhost:12000: connection reset";
        assert_eq!(explained(Tcp, ErrorKind::ConnectionReset), reset);
    }
}
