// In the examples, here and in other files: a line that begins with `#` runs, but the documentation
// does not show it. The last such line of an example gives the type of the errors that `?` returns.

//! The upper-case echo of the networking textbooks (Kurose & Ross, *Computer Networking*, 2.7) over
//! UDP and TCP.
//!
//! # Map
//!
//! | where | what it holds |
//! |---|---|
//! | [`udp`] | the book's UDP programs, and where they hang, cut or crash; [`serve`](udp::serve); a [`Client`](udp::Client) that sends again what the network has lost |
//! | [`tcp`] | the book's TCP programs, and where they hang, cut or crash; [`serve`](tcp::serve); a [`Client`](tcp::Client) that asks line by line or sends a whole stream |
//! | this page | the transform: [`uppercase()`] for bytes, [`copy`] for a stream; [`Event`], what servers and clients tell of |
//! | `src/retry.rs` | what is done again, and for how long; UDP and TCP use it |
//! | `src/bin` | the two programs: flags, messages, exit status |
//!
//! The README shows where each step of the book's programs is in the source. Nothing here prints,
//! reads flags or ends the process: that is what the programs do. Servers take sockets that are
//! already bound.
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
//! TCP: a stream of bytes, answered as they come, until the half-close (when the client says that
//! it will send no more, and still reads).
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
//! Each promise has tests that fail when it is broken, in modules of its name: `cargo test
//! it_is_bounded` runs the tests of one promise.
//!
//! - **UDP answers.** For every datagram that it receives, [`udp::serve`] sends one answer, whole,
//!   if it may answer the source, the answer fits in a datagram, and the system can send it. An
//!   answer has at most 3 times the bytes of its sentence, and for ASCII exactly as many. So the
//!   answers to sentences of up to 21,835 bytes always fit (on macOS: see the limits of
//!   [`udp`](udp#limits)).
//! - **No answers to servers.** Nothing is answered to a source that looks like a server (a port
//!   below 1024, or the server's own port) or that cannot be one client (port 0, or a multicast,
//!   broadcast or unspecified address).
//! - **TCP answers.** The output is the upper case of the input, however the network cut it.
//!   Nothing waits for a newline, and nothing is lost at the half-close.
//! - **The server goes on.** No peer (the program at the other end), no packet and no shortage of
//!   file descriptors (a process has one for each open file and socket) ends it. When a shortage is
//!   over, it serves again.
//! - **It is bounded.** [`tcp::serve`] never has more connections than its limit, with fixed memory
//!   for each. A silent client holds a connection no longer than the idle timeout. A client that
//!   never reads holds it no longer than a few times that, because each write that is taken in part
//!   begins a new wait. A connection beyond the limit waits, and is served when another ends.
//! - **The client ends** when its input has ended and is answered, or when the server has failed.
//!   Its exit status is 0 if everything was answered, whole, and over TCP nothing else had come by
//!   then. It is also 0 if the reader of its output has left. Otherwise it is 1, and 2 for bad
//!   usage. (At a terminal, a UDP line that fails does not end it. In a TCP pipe, a server that
//!   takes everything and answers nothing is not a failure while the input may bring more.)
//! - **Answers belong to their lines.** An answer that [`udp::Client`] returns was sent for that
//!   sentence, also after loss, delay, reordering and duplicates, unless the client has opened 64
//!   more sockets by then.
//! - **Any amount of input** goes through [`tcp::Client::pipe`] and [`copy`], in constant memory
//!   and without deadlock.
//! - **The textbook's programs** work on either side: its clients with these servers, and these
//!   clients with its servers.
//!
//! # Limits
//!
//! The pages of [`udp`](udp#limits) and [`tcp`](tcp#limits) name theirs. A server that is killed
//! loses what is on its way, and there is neither authentication nor encryption.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::{fmt, io};

mod retry;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use uppercase::{copy, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;

/// What a server or a client tells its observer.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of the protocol. It is what `format_args!` returns: not a text yet, but the borrowed
    /// values for it. The text is built when, and if, the observer displays the event.
    Step(fmt::Arguments<'a>),
    /// A server could not accept or receive, or was not permitted to send, because of this error.
    /// The observer is told of each such failure, except those that a single client has caused. A
    /// failing accept or receive is tried again, and told again, after 1 s at most.
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

/// Tells an observer of a step: `tell(&observer, format_args!("sent {n}"))`.
fn tell(observer: &impl Fn(Event), step: fmt::Arguments) {
    observer(Event::Step(step));
}

/// A number of bytes, for people: `1 byte`, `5 bytes`.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let unit = if self.0 == 1 { "byte" } else { "bytes" };
        write!(f, "{} {unit}", self.0)
    }
}
