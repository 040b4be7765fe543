//! TCP: a stream of bytes, answered as they come, until the client's half-close.
//!
//! # The book's programs
//!
//! The server of Kurose & Ross, 2.7.2, with std. It waits at its welcoming socket, which is bound
//! to port 12000: `TcpListener::bind("0.0.0.0:12000")`. Each client gets a connection socket.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpListener;
//!
//! fn serve(welcoming_socket: &TcpListener) -> std::io::Result<()> {
//!     loop {
//!         let (mut connection_socket, _client_address) = welcoming_socket.accept()?;
//!         let mut bytes = [0; 1024];
//!         let size = connection_socket.read(&mut bytes)?;
//!         let sentence = std::str::from_utf8(&bytes[..size]).expect("UTF-8"); // Python's decode
//!         connection_socket.write_all(sentence.to_uppercase().as_bytes())?;
//!     } // the connection socket is dropped: that closes it
//! }
//!
//! # let welcoming_socket = TcpListener::bind("127.0.0.1:0")?;
//! # let server_address = welcoming_socket.local_addr()?;
//! # std::thread::spawn(move || serve(&welcoming_socket));
//! # let timeout = std::time::Duration::from_secs(5);
//! # let mut client = uppercase_echo::tcp::Client::connect(&[server_address], timeout, |_| {})?;
//! # assert_eq!(client.ask(b"hello")?, b"HELLO");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The client:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{SocketAddr, TcpStream};
//!
//! /// `server_address` is the book's ('servername', 12000).
//! fn ask(server_address: SocketAddr) -> std::io::Result<()> {
//!     let mut client_socket = TcpStream::connect(server_address)?;
//!     client_socket.write_all(b"hello")?;
//!     let mut bytes = [0; 1024];
//!     let size = client_socket.read(&mut bytes)?;
//!     assert_eq!(&bytes[..size], b"HELLO");
//!     Ok(())
//! }
//! # let welcoming_socket = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let server_address = welcoming_socket.local_addr()?;
//! # let timeout = std::time::Duration::from_secs(5);
//! # uppercase_echo::tcp::serve(welcoming_socket, 1, timeout, |_| {})?;
//! # ask(server_address)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Where they hang, lose data or crash, and what this module does
//!
//! - **One read is taken for one sentence.** TCP carries bytes, not sentences: a read returns what
//!   has arrived, which may be half a sentence, two, or half of a character. [`serve`] answers what
//!   has arrived, and holds back at most an unfinished character. [`Client::ask`] needs to know
//!   where an answer ends, so it sends a line and reads up to the newline of the answer.
//! - **The server has one client at a time.** If that one is silent, all others wait. [`serve`] has
//!   many threads, and closes a connection that is idle for too long.
//! - **A client is connected before anybody has accepted it.** The system completes the handshake
//!   by itself, so that a client need not wait for a busy program. It keeps the connection in a
//!   queue, the backlog. So a client whose `connect` succeeded may still wait for an answer
//!   forever. [`Client`] has a timeout.
//! - **The server answers once and closes.** [`serve`] answers until the client's half-close:
//!   `shutdown(Write)` tells the other side that no more will come, while the other direction stays
//!   open. Only [`Client::pipe`] does that. At a terminal another line may always follow, so
//!   [`Client::ask`] cannot.
//! - **The client would hang with much text**, if it sent all of it and only then read the answers:
//!   see [`Client::pipe`], which does both at once.
//! - **The book's Python server cannot be restarted at once.** The side that closes a connection
//!   first keeps its port for a minute (TIME-WAIT), so that late segments of this connection are
//!   not taken for those of another. `SO_REUSEADDR` permits a new server on that port, if the old
//!   one had set it, too. std's `TcpListener::bind` sets it, except on Windows, which does not need
//!   it.
//!
//! # Limits
//!
//! - std's listen backlog is 128. When more than N + 128 clients (N is the number of threads) come
//!   in one instant, some wait a second for their system to try again, and a few may be refused.
//! - On Linux each thread needs a descriptor (an open file), also while it waits. So `ulimit -n`
//!   must exceed N times the number of addresses. With fewer, some address may never be served.
//! - A client that sends one byte per idle timeout keeps its connection, and one client may hold
//!   all N. A client that never reads ties up megabytes of the system's buffers.
//! - A connection that is silent for the idle timeout is closed, also that of a pipe whose input
//!   waits (`tail -f log | client --tcp`). Give the server a longer `--idle-timeout`.
//! - If the last line has no newline, a client may not notice when the end of its answer is
//!   missing, because the server or the network has failed.

mod client;
mod connection;
mod pipe;
mod server;

pub use client::Client;
pub use pipe::PipeError;
pub use server::serve;
