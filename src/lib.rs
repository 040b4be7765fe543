//! The upper-case echo of the networking textbooks (Kurose & Ross, *Computer Networking*, 2.7) over UDP and TCP.
//!
//! | where | what it holds |
//! |---|---|
//! | this page | the transform, [`uppercase()`] for bytes at hand and [`copy`] for a stream; [`Event`] |
//! | [`udp`] | a server's loop, and a [`Client`](udp::Client) that sends again what the network lost |
//! | [`tcp`] | a server's threads; for a client [`connect`](tcp::connect), then [`ask`](tcp::ask) for a line and its answer or [`pipe`](tcp::pipe) for both directions at once |
//!
//! Nothing here prints, reads flags or ends the process: servers take sockets that are already bound, and report
//! each [`Event`] to a closure.
//!
//! # Examples
//!
//! UDP: one datagram, one answer.
//!
//! ```
//! use std::{net::UdpSocket, thread, time::Duration};
//! use uppercase_echo::udp;
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let address = socket.local_addr()?;
//! thread::spawn(move || udp::serve(&socket, |_event| {}));
//!
//! let mut client = udp::Client::new(vec![address], Duration::from_secs(5), |_| {});
//! assert_eq!(client.ask("hello, straße".as_bytes())?, b"HELLO, STRASSE");
//! # std::io::Result::Ok(())
//! ```
//!
//! TCP: a stream of bytes, answered as they come, until half-close.
//!
//! ```
//! use std::{net::TcpListener, time::Duration};
//! use uppercase_echo::tcp;
//!
//! let welcoming_socket = TcpListener::bind("127.0.0.1:0")?;
//! let address = welcoming_socket.local_addr()?;
//! let wait = Duration::from_secs(5);
//! tcp::serve(welcoming_socket, 4, wait, |_event| {})?;
//!
//! let stream = tcp::connect(&[address], wait)?;
//! assert_eq!(tcp::ask(&stream, "hello, straße".as_bytes())?, b"HELLO, STRASSE");
//!
//! // All that is left of the input, then half-close.
//! let mut answers = Vec::new();
//! tcp::pipe(&stream, "more\nlines".as_bytes(), |answer| {
//!     answers.extend_from_slice(answer);
//!     Ok(())
//! })?;
//! assert_eq!(answers, b"MORE\nLINES");
//! # std::io::Result::Ok(())
//! ```
//!
//! # Promises
//!
//! - Every UDP datagram from a source that [`udp::serve`] admits gets one answer, whole, if that fits in a datagram.
//! - TCP's output is the upper case of its input, however the network cut it, and nothing is lost at half-close.
//! - No peer, no packet and no shortage of descriptors ends a server; [`tcp::serve`] never holds more connections than
//!   it is told, with fixed memory for each.
//! - An answer that [`udp::Client`] returns belongs to the line it was asked for.
//! - Any amount of input goes through [`copy`] and [`tcp::pipe`] in constant memory.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{fmt, io};

mod retry;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use uppercase::{buffers, copy, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;

/// What a server tells its observer: a step of the protocol, or the error because of which it cannot go on at the
/// moment, told again at each try, about once a second.
pub type Event<'a> = Result<fmt::Arguments<'a>, &'a io::Error>;
