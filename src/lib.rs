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
//! thread::spawn(move || udp::serve(&socket, |event| eprintln!("{event}")));
//!
//! let mut client = udp::Client::new(vec![address], Duration::from_secs(5));
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
//! tcp::serve(listener, 4, Duration::from_secs(300), |event| eprintln!("{event}"))?;
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

#![cfg_attr(
    not(test),
    warn(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

mod event;
pub mod tcp;
pub mod udp;
mod uppercase;

pub use event::Event;
pub use uppercase::{copy, uppercase};

/// The port that the textbook's programs use.
pub const DEFAULT_PORT: u16 = 12000;

/// Does `call` again as long as a signal interrupts it, which std leaves to the caller for sockets with a timeout.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Returns the first success of `attempt` and its address; each has an equal share of what is left of `timeout`.
fn try_each<T>(
    addresses: &[SocketAddr],
    timeout: Duration,
    mut attempt: impl FnMut(SocketAddr, Duration) -> io::Result<T>,
) -> io::Result<(SocketAddr, T)> {
    let deadline = Instant::now() + timeout;
    let mut failure = io::Error::new(ErrorKind::NotFound, "the server has no address");
    for (&address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match attempt(address, share.max(Duration::from_millis(1))) {
            Ok(success) => return Ok((address, success)),
            // Silence says more than a refusal: something may be listening there.
            Err(error) if failure.kind() != ErrorKind::TimedOut => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}
