//! The upper-case echo of the networking textbooks (Kurose & Ross, *Computer Networking*, 2.7) over UDP and TCP.
//!
//! | where | what it holds |
//! |---|---|
//! | this page | the transform: [`uppercase()`] for bytes at hand, [`copy`] for a stream; [`Event`] |
//! | [`udp`] | [`serve`](udp::serve), and a [`Client`](udp::Client) that sends again what the network lost |
//! | [`tcp`] | [`serve`](tcp::serve), and a [`Client`](tcp::Client) that asks line by line or moves a whole stream |
//!
//! Nothing here prints, reads flags or ends the process. Servers take sockets that are already bound, and report each
//! [`Event`] to a closure.
//!
//! # Examples
//!
//! UDP: one datagram, one answer.
//!
//! ```
//! use std::{net::UdpSocket, time::Duration};
//! use uppercase_echo::udp;
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let address = socket.local_addr()?;
//! udp::serve(socket, |_event| {})?;
//!
//! let mut client = udp::Client::new(&[address], Duration::from_secs(5));
//! assert_eq!(client.ask("hello, straße".as_bytes(), |_event| {})?, b"HELLO, STRASSE");
//! # std::io::Result::Ok(())
//! ```
//!
//! TCP: a stream of bytes, answered as they come, until half-close.
//!
//! ```
//! use std::{net::TcpListener, num::NonZero, time::Duration};
//! use uppercase_echo::tcp;
//!
//! let welcoming_socket = TcpListener::bind("127.0.0.1:0")?;
//! let address = welcoming_socket.local_addr()?;
//! let timeout = Duration::from_secs(5);
//! tcp::serve(welcoming_socket, NonZero::new(4).unwrap(), timeout, |_event| {})?;
//!
//! let mut client = tcp::Client::connect(&[address], timeout, |_event| {})?;
//! assert_eq!(client.ask("hello, straße".as_bytes(), |_event| {})?, b"HELLO, STRASSE");
//!
//! // All that is left of the input, then half-close.
//! let mut answers = Vec::new();
//! client.pipe("more\nlines".as_bytes(), &mut answers, |_event| {})?;
//! assert_eq!(answers, b"MORE\nLINES");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! - Every UDP datagram from a source that [`udp::serve`] admits gets one answer, whole, if that fits in a datagram.
//! - TCP's output is the upper case of its input, however the network cut it, and nothing is lost at half-close.
//! - No peer, no packet and no shortage of descriptors ends a server; [`tcp::serve`] never holds more connections than
//!   it is told, with fixed memory for each.
//! - An answer that [`udp::Client`] returns belongs to the line it was asked for.
//! - Any amount of input goes through [`copy`] and [`tcp::Client::pipe`] in constant memory.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{fmt, io};

/// Tells an observer of a step. `tell!(observer, "sent {size} bytes")` takes its text as `println!` does.
macro_rules! tell {
    ($observer:expr, $($text:tt)+) => {
        $observer($crate::Event::Step(format_args!($($text)+)))
    };
}

mod retry;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use uppercase::{copy, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;

/// What a server or a client tells its observer. Nothing is formatted unless the observer displays it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of the protocol.
    Step(fmt::Arguments<'a>),
    /// A server cannot accept, receive or send at the moment, because of this error. It is told each time that fails:
    /// while it lasts, about once a second.
    Stalled(&'a io::Error),
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step}"),
            Self::Stalled(error) => write!(f, "cannot serve now: {error}"),
        }
    }
}

/// A number of bytes, for people: `1 byte`, `5 bytes`.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let unit = if self.0 == 1 { "byte" } else { "bytes" };
        write!(f, "{} {unit}", self.0)
    }
}
