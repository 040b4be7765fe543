// Lines of an example that begin with `#` are run, but not shown in the documentation.

//! The upper-case echo of the networking textbooks (Kurose & Ross, *Computer Networking*, 2.7) over
//! UDP and TCP.
//!
//! # Map
//!
//! | where | what it holds |
//! |---|---|
//! | [`udp`] | the book's UDP programs, and where they hang, cut or crash; [`serve`](udp::serve); a [`Client`](udp::Client) that retransmits |
//! | [`tcp`] | the book's TCP programs, and where they hang, cut or crash; [`serve`](tcp::serve); a [`Client`](tcp::Client) that asks line by line or sends a whole stream |
//! | this page | the transform: [`uppercase()`] for bytes, [`copy_uppercase`] for a stream; [`Event`], what servers and clients report |
//! | [`guide`] | for students, teachers and operators: the lab, the map, operations |
//! | `src/retry.rs`, `src/addresses.rs` | which failed calls are made again, and the addresses of a server in turn |
//! | `src/bin` | the two programs: flags, messages, exit status |
//!
//! Nothing in the library prints, reads flags or ends the process: that is what the programs do.
//! Servers take sockets that are already bound.
//!
//! # Examples
//!
//! UDP: one datagram, one answer. The observer prints what happens.
//!
//! ```
//! use std::io::{self, Write};
//! use std::net::UdpSocket;
//! use std::time::Duration;
//! use uppercase_echo::{Event, udp};
//!
//! /// Not with `eprintln!`, which panics when stderr is closed.
//! fn print(event: Event) {
//!     let _ = writeln!(io::stderr(), "{event}");
//! }
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let address = socket.local_addr()?;
//! udp::serve(socket, print)?;
//!
//! let mut client = udp::Client::new(&[address], Duration::from_secs(5), print);
//! assert_eq!(client.ask("hello, straße".as_bytes())?, b"HELLO, STRASSE");
//! # io::Result::Ok(())
//! ```
//!
//! TCP: a stream of bytes, answered as they come, until the half-close (when the client says that
//! it will send no more, and still reads).
//!
//! ```
//! use std::{net::TcpListener, time::Duration};
//! use uppercase_echo::tcp;
//!
//! let welcoming_socket = TcpListener::bind("127.0.0.1:0")?;
//! let address = welcoming_socket.local_addr()?;
//! let timeout = Duration::from_secs(5);
//! tcp::serve(welcoming_socket, 4, timeout, |_event| {})?;
//!
//! let mut client = tcp::Client::connect(&[address], timeout, |_event| {})?;
//! assert_eq!(client.ask("hello, straße".as_bytes())?, b"HELLO, STRASSE");
//!
//! // All that is left of the input, then half-close.
//! let mut answers = Vec::new();
//! client.pipe("more\nlines".as_bytes(), &mut answers)?;
//! assert_eq!(answers, b"MORE\nLINES");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! The head of `tests/common/mod.rs` names the tests of each promise.
//!
//! 1. **UDP answers.** Every datagram that [`udp::serve`] receives from a client gets one answer,
//!    whole, if the answer fits in a datagram and the system takes it.
//! 2. **No answers to servers.** Nothing is answered to a source that looks like a server.
//! 3. **TCP answers.** The output is the upper case of the input, however the network cut it;
//!    nothing waits for a newline, and nothing is lost at the half-close.
//! 4. **The server goes on.** No peer, no packet and no shortage of descriptors ends it, and it
//!    serves again when a shortage has ended.
//! 5. **It is bounded.** [`tcp::serve`] has at most as many connections as it has threads, with
//!    fixed memory for each. A peer that is silent or never reads loses its connection within a
//!    few times the idle timeout.
//! 6. **The client ends** when its input has ended and is answered, or when input, output or (but
//!    for a terminal) server has failed. Its exit status is 0 if everything was answered (or the
//!    reader of its output has left), and 1 if not.
//! 7. **Answers belong to their lines.** A late or doubled answer is not taken for another line's,
//!    unless the client has used 64 other sockets since.
//! 8. **Any amount of input** goes through [`tcp::Client::pipe`] and [`copy_uppercase`], in
//!    constant memory and without deadlock.
//! 9. **The textbook's programs** work on either side.
//!
//! # Limits
//!
//! The pages of [`udp`](udp#limits) and [`tcp`](tcp#limits) name theirs. There is neither
//! authentication nor encryption.

// Tests may panic, the library must not.
#![cfg_attr(
    not(test),
    warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)
)]

mod addresses;
mod event;
#[cfg(doc)]
pub mod guide;
mod retry;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use event::Event;
pub use uppercase::{copy_uppercase, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;
