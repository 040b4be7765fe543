//! The upper-case echo of the networking textbooks (Kurose & Ross, *Computer Networking*, 2.7) over UDP and TCP.
//!
//! | module | what it holds |
//! |---|---|
//! | this page | the transform: [`uppercase`] for bytes at hand, [`copy`] for a stream |
//! | [`udp`] | a server's loop, and a [`Client`](udp::Client) that sends again what the network lost |
//! | [`tcp`] | a server's loop, and the client's two ways of talking |
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
//! thread::spawn(move || udp::serve(&socket, |event| eprintln!("{event:?}")));
//!
//! let mut client = udp::Client::new(vec![address], Duration::from_secs(5), |_| {});
//! assert_eq!(client.ask("hello, straße".as_bytes())?, b"HELLO, STRASSE");
//! # std::io::Result::Ok(())
//! ```
//!
//! TCP: a stream of bytes, answered as they come, until half-close.
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//! use std::{io::{Read, Write}, net::Shutdown, time::Duration};
//! use uppercase_echo::tcp;
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! tcp::serve(listener, 4, Duration::from_secs(300), |event| eprintln!("{event:?}"))?;
//!
//! let mut stream = TcpStream::connect(address)?;
//! stream.write_all(b"hello\nworld")?;
//! stream.shutdown(Shutdown::Write)?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert_eq!(answer, "HELLO\nWORLD");
//! # std::io::Result::Ok(())
//! ```
//!
//! # Promises
//!
//! - Every admissible UDP datagram gets one answer, whole, if that fits in a datagram.
//! - TCP's output is the upper case of its input, however the network cut it, and nothing is lost at half-close.
//! - No peer, no packet and no shortage of descriptors ends a server; at most N connections are held at once.
//! - An answer that [`udp::Client`] returns belongs to the line it was asked for.
//! - Memory is constant, whatever the amount of input.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{fmt, io};

mod retry;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use uppercase::{buffers, copy, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;

/// What a server tells its observer: one more step of the protocol, as the textbook explains them, or the error for which
/// it cannot go on at the moment. That is told at each try, at least once a second while it lasts.
pub type Event<'a> = Result<fmt::Arguments<'a>, &'a io::Error>;
