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
//! # let mut client = uppercase_echo::udp::Client::new(&[server_address], timeout, |_| {});
//! # assert_eq!(client.ask(b"hello")?, b"HELLO");
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
//!   datagram arrives. [`Client`] retransmits when no answer comes, and stops when its timeout is
//!   over. That may ask the server twice, which does no harm: the service is idempotent.
//! - **The client takes anybody's datagram for the answer**, and it waits forever if nothing is
//!   listening. [`Client`] connects its socket. For UDP that sends nothing, and the server does not
//!   notice. It only tells the client's own system to discard datagrams from other addresses, and
//!   to return an error when the server's system reports that the port is closed (with an ICMP
//!   message, *port unreachable*).
//! - **A late answer would be taken for the answer to the next sentence**, if the client sent
//!   several. So [`Client`] gives each sentence a socket, and with it a port, of its own. A
//!   sequence number, as in the book's 3.4, would do the same, but then a datagram would be more
//!   than the sentence.
//! - **The server cuts a sentence at 2048 bytes**: a receive drops what does not fit in its buffer.
//!   Here, the buffers hold the largest datagram there is, and [`Client::ask`] returns an error if
//!   the answer is shorter than any upper case of the sentence.
//! - **The server ends when bytes are not UTF-8**, or when one send or receive fails. Anybody can
//!   send any bytes, and on some systems an answer to a client that has gone makes the next receive
//!   fail. [`serve`] goes on.
//! - **Two servers can answer each other without end**, if somebody forges one datagram. [`serve`]
//!   does not answer a source that looks like a server.
//!
//! A sentence needs no newline to end it: a datagram arrives whole or not at all, so its end is the
//! sentence's end.
//!
//! # Limits
//!
//! - An open UDP echo is a reflector: it sends up to three bytes for one to whatever source a
//!   datagram claims to have. Serve on localhost or behind a firewall.
//! - On a wildcard address (`0.0.0.0` or `::`) of a machine with several addresses, the answer may
//!   leave from another address than the one that was asked, and the client does not accept it.
//!   Listen on that one address instead.
//! - Two servers on different ports from 1024 up can still be made to answer each other. Use the
//!   same port number for all.
//! - Answers to neighbours that do not exist fill the socket's send buffer. Some hundred forged
//!   datagrams delay everybody by seconds.
//! - Datagrams of more than about 1,200 bytes may vanish on their way, for example in a VPN. macOS
//!   sends none of more than 9,216 bytes by default. Use TCP for long sentences.

mod answer;
mod client;
mod server;

pub use client::{Client, MAX_DATAGRAM};
pub use server::serve;
