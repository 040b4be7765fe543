//! UDP: one datagram is one sentence, and gets one answer.
//!
//! # The book's programs
//!
//! The server of Kurose & Ross, 2.7.1, with std. Its socket is bound to port 12000:
//! `UdpSocket::bind("0.0.0.0:12000")`. It learns from each datagram whom to answer.
//!
//! ```
//! use std::net::UdpSocket;
//!
//! fn serve(server_socket: &UdpSocket) -> std::io::Result<()> {
//!     let mut message = [0; 2048];
//!     loop {
//!         let (size, client_address) = server_socket.recv_from(&mut message)?;
//!         let sentence = std::str::from_utf8(&message[..size]).expect("UTF-8"); // Python's decode
//!         server_socket.send_to(sentence.to_uppercase().as_bytes(), client_address)?;
//!     }
//! }
//!
//! # let server_socket = UdpSocket::bind("127.0.0.1:0")?;
//! # let server_address = server_socket.local_addr()?;
//! # std::thread::spawn(move || serve(&server_socket));
//! # let timeout = std::time::Duration::from_secs(5);
//! # let mut client = uppercase_echo::udp::Client::new(&[server_address], timeout);
//! # assert_eq!(client.ask(b"hello", |_| {})?, b"HELLO");
//! # std::io::Result::Ok(())
//! ```
//!
//! The client:
//!
//! ```
//! use std::net::{SocketAddr, UdpSocket};
//!
//! /// `server_address` is the book's ('hostname', 12000).
//! fn ask(server_address: SocketAddr) -> std::io::Result<()> {
//!     let client_socket = UdpSocket::bind("0.0.0.0:0")?; // any free port
//!     client_socket.send_to(b"hello", server_address)?;
//!     let mut message = [0; 2048];
//!     let (size, _server_address) = client_socket.recv_from(&mut message)?;
//!     assert_eq!(&message[..size], b"HELLO");
//!     Ok(())
//! }
//! # let server_socket = UdpSocket::bind("127.0.0.1:0")?;
//! # let server_address = server_socket.local_addr()?;
//! # uppercase_echo::udp::serve(server_socket, |_| {})?;
//! # ask(server_address)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Where they hang, lose data or crash, and what this module does
//!
//! - **The client waits forever for a datagram that was lost.** UDP does not guarantee that a
//!   datagram arrives. [`Client`] sends the sentence again when no answer comes, and stops when its
//!   timeout is over. That may ask the server twice, which does no harm here: the answer is the
//!   same.
//! - **The client takes anybody's datagram for the answer**, and it waits forever if nothing is
//!   listening. [`Client`] connects its socket. For UDP that sends nothing, and the server does not
//!   notice. It only tells the client's own system to discard datagrams from other addresses, and
//!   to report it when the other side says that the port is closed (with an ICMP message, *port
//!   unreachable*).
//! - **A late answer would be taken for the answer to the next sentence**, if the client sent
//!   several. So [`Client`] gives each sentence a socket, and with it a port, of its own. A
//!   sequence number, as in the book's 3.4, would do the same, but the book's server would not send
//!   it back.
//! - **The server cuts a sentence at 2048 bytes**: a receive drops what does not fit in its buffer.
//!   Here, the buffers hold the largest datagram there is, and [`is_cut`] finds most cut answers of
//!   others.
//! - **The server ends when bytes are not UTF-8**, or when one send or receive fails. Anybody can
//!   send any bytes, and on some systems an answer to a client that has gone makes the next receive
//!   fail. [`serve`] goes on.
//! - **Two servers can answer each other without end**, if somebody forges one datagram. [`serve`]
//!   does not answer a source that looks like a server: one with its own port number, or with a
//!   port below 1024.
//!
//! A sentence needs no newline to end it: a datagram arrives whole or not at all, so its end is the
//! sentence's end.
//!
//! # Limits
//!
//! - On a wildcard address (`0.0.0.0` or `::`) of a machine with several addresses, the answer may
//!   leave from another address than the one that was asked. The client's connected socket does not
//!   accept it. Listen on that one address instead.
//! - Two servers on different ports from 1024 up can still be made to answer each other.
//! - A client knows the server by its address and port. Somebody who can forge these, and knows or
//!   guesses the client's port, can answer in its place.
//! - All answers share the socket's send buffer. If a source is an address of the local network
//!   that no machine has, the answer stays in the buffer until the system stops looking for that
//!   machine. Some hundred forged datagrams with such sources, or a slow link to one peer, delay
//!   everybody by seconds. Serve on localhost or behind a firewall.
//! - Some systems let a datagram in whose source is the broadcast address of their own network
//!   (such as 192.0.2.255). They do not permit the answer, and the server reports that.
//! - A router that translates addresses (NAT) keeps an entry for each socket, so for each sentence.
//!   Many sentences can fill its table.
//! - When a server suddenly takes more than three times as long as for the last timed answer, and
//!   more than 200 ms, each sentence is sent several times. That does no harm here.
//! - Only the ports of the last 64 sockets are kept from use. An answer that comes later than that
//!   may find its port used again, and be taken for another sentence's. When a client has ended,
//!   all its ports are free at once, for other programs, too.
//! - A client needs about 70 file descriptors, 64 of them for the sockets of the last sentences.
//! - The book's server in the Java edition answers with its whole buffer: the upper case is
//!   followed by zero bytes.
//! - macOS sends no datagram over 9,216 bytes unless it is told to (`sysctl
//!   net.inet.udp.maxdgram`).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use crate::retry::{retry_interrupted, retry_with_backoff};
use crate::uppercase::{MAX_GROWTH_FACTOR, append_uppercase};
use crate::{Bytes, Event, tell};

mod client;

pub use client::{Client, is_cut};

/// The most bytes that a datagram carries over IPv4: the length field's 65,535, without IP's header
/// of 20 bytes and UDP's of 8 (RFC 791, RFC 768).
pub const MAX_DATAGRAM: usize = 65_535 - 20 - 8;

/// The size of a buffer in which every datagram fits. The length field of UDP has 16 bits.
const BUFFER_SIZE: usize = 65_535;

/// The ports below this one belong to the system's services. Some of them, such as echo, chargen
/// and DNS, answer whatever they receive.
const FIRST_CLIENT_PORT: u16 = 1024;

/// Starts a thread that answers every datagram that `socket` receives. Returns as soon as the
/// thread runs.
///
/// Some sources get no answer. Ports below 1024, and the port number of `socket` itself, may belong
/// to a server. Port 0, and multicast, broadcast and unspecified addresses (`0.0.0.0`, `::`) do not
/// belong to one client. Without this rule one forged datagram could make two servers answer each
/// other without end (CVE-1999-0103, CVE-2024-2169). An answer that is too long for a datagram is
/// not sent.
///
/// The thread runs until the process ends. When a send fails, it goes on at once. When a receive
/// fails, it tries again: at once if a client was the cause, and otherwise after a pause of 5 ms
/// or, if that goes on, up to 1 s. `observer` is told of every datagram and what became of it.
///
/// # Errors
///
/// An error of the system if it cannot say the port of `socket`, or cannot start the thread.
pub fn serve(socket: UdpSocket, observer: impl Fn(Event) + Send + 'static) -> io::Result<()> {
    // All memory is allocated here, so that a server that has started does not fail for lack of it.
    let mut server = Server {
        own_port: socket.local_addr()?.port(),
        socket,
        observer,
        datagram: vec![0; BUFFER_SIZE],
        answer: Vec::with_capacity(MAX_GROWTH_FACTOR * BUFFER_SIZE),
    };
    // A new thread needs some memory before it runs our code. If there is none, Rust ends the whole
    // process. That must not happen after the server was announced. So this function returns only
    // when the thread has shown, with a message, that it runs.
    let (ready_sender, ready_receiver) = mpsc::channel();
    // `thread::spawn` would panic if the thread cannot be started.
    thread::Builder::new().spawn(move || {
        // This fails only if nobody waits for the message.
        let _ = ready_sender.send(());
        loop {
            server.answer_one();
        }
    })?;
    ready_receiver.recv().map_err(io::Error::other)?;
    Ok(())
}

struct Server<O> {
    socket: UdpSocket,
    own_port: u16,
    observer: O,
    datagram: Vec<u8>,
    answer: Vec<u8>,
}

impl<O: Fn(Event)> Server<O> {
    /// Waits for one datagram, and answers it.
    fn answer_one(&mut self) {
        let observer = &self.observer;
        // A closure borrows only the fields that it uses, so `observer` can stay borrowed.
        let receive = || self.socket.recv_from(&mut self.datagram);
        // The system attaches the source address to the datagram: that is the client to answer.
        let (size, client) = retry_with_backoff(observer, receive);
        tell(
            observer,
            format_args!("received {} from {client}", Bytes(size)),
        );
        if !is_admissible(client, self.own_port) {
            tell(
                observer,
                format_args!("no answer to {client}: it may be a server"),
            );
            return;
        }
        self.answer.clear();
        append_uppercase(&self.datagram[..size], &mut self.answer);
        match retry_interrupted(|| self.socket.send_to(&self.answer, client)) {
            Ok(sent) => tell(observer, format_args!("sent {} to {client}", Bytes(sent))),
            // A firewall on this machine, or a rule of its routing: the operator should know that.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                observer(Event::Stalled(&error));
            }
            // Most other errors can be caused by a client, for example with a sentence whose upper
            // case is too long. They must not fill the operator's screen.
            Err(error) => tell(observer, format_args!("cannot send to {client}: {error}")),
        }
    }
}

/// Returns whether `client` may be answered by a server on `own_port`. See [`serve`].
fn is_admissible(client: SocketAddr, own_port: u16) -> bool {
    // An IPv4 address in the form `::ffff:192.0.2.1` becomes `192.0.2.1`.
    let ip = client.ip().to_canonical();
    let is_single_host =
        !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_client_port = client.port() >= FIRST_CLIENT_PORT && client.port() != own_port;
    is_single_host && is_client_port
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test")]
mod tests {
    use super::{SocketAddr, is_admissible};

    #[track_caller]
    fn check(expected: bool, peers: &[&str]) {
        for peer in peers {
            let address: SocketAddr = peer.parse().expect(peer);
            assert_eq!(is_admissible(address, 12000), expected, "{peer}");
        }
    }

    #[test]
    fn clients_are_answered() {
        check(
            true,
            &[
                "127.0.0.1:1024",
                "127.0.0.2:11999",
                "10.1.2.3:65535",
                "[::1]:12001",
                "[::ffff:10.0.0.1]:5000",
            ],
        );
    }

    #[test]
    fn servers_are_not_answered() {
        check(
            false,
            &[
                "127.0.0.1:0",
                "10.1.2.3:7",
                "[2001:db8::1]:1023",
                "127.0.0.2:12000",
                "[::1]:12000",
            ],
        );
    }

    #[test]
    fn groups_are_not_answered() {
        check(
            false,
            &[
                "0.0.0.0:5000",
                "[::]:5000",
                "224.0.0.1:5000",
                "[ff02::1]:5000",
                "255.255.255.255:5000",
            ],
        );
        check(
            false,
            &[
                "[::ffff:0.0.0.0]:5000",
                "[::ffff:224.0.0.1]:5000",
                "[::ffff:255.255.255.255]:5000",
            ],
        );
    }
}
