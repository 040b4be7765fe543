//! Fake servers, and ports on which nobody answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::{DEADLINE, assert_answer, connect, set_deadline, skip};

/// A listener on a free port of 127.0.0.1 that serves one connection after another in its own thread.
pub fn fake_tcp(mut serve: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            set_deadline(&stream);
            serve(stream);
        }
    });
    port
}

/// A port of 127.0.0.1 whose listener accepts once, answers `ONE`, and closes. It stays closed while the stream is kept.
pub fn accept_once() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, kept) = channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // A program that another test starts just now may have it for another moment.
        let address = listener.local_addr().unwrap();
        drop(listener);
        while TcpStream::connect(address).is_ok() {}
        set_deadline(&stream);
        assert_answer(&stream, "one\n");
        (&stream).write_all(b"ONE\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        sender.send(stream).unwrap();
    });
    (port, kept)
}

/// What a fake TCP server does with each connection, one step after the other. Then it closes.
#[derive(Clone, Copy, PartialEq)]
pub enum Step {
    ReadOnce,
    /// Reads one byte: with more unread, its close is a reset.
    ReadByte,
    /// Reads until the client has finished sending.
    ReadAll,
    Say(&'static str),
    /// Says it byte by byte, 150 ms before each.
    SaySlowly(&'static str),
    /// Says it until the client has gone.
    Flood(&'static str),
    /// Never closes.
    Stay,
}

/// A fake TCP server made of steps.
pub fn scripted_tcp(steps: impl AsRef<[Step]>) -> u16 {
    let steps = steps.as_ref().to_vec();
    fake_tcp(move |mut stream| {
        for step in &steps {
            match step {
                Step::ReadOnce => drop(stream.read(&mut [0; 1000])),
                Step::ReadByte => drop(stream.read(&mut [0; 1])),
                Step::ReadAll => drop(stream.read_to_end(&mut Vec::new())),
                Step::Say(text) => drop(stream.write_all(text.as_bytes())),
                Step::SaySlowly(text) => {
                    for byte in text.bytes() {
                        thread::sleep(Duration::from_millis(150));
                        let _ = stream.write_all(&[byte]);
                    }
                }
                Step::Flood(text) => while stream.write_all(text.as_bytes()).is_ok() {},
                Step::Stay => std::mem::forget(stream.try_clone().unwrap()),
            }
        }
    })
}

/// A UDP socket on a free port of 127.0.0.1 that hands each datagram to `serve`.
pub fn fake_udp(mut serve: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        loop {
            // On Windows it fails if an earlier answer found its port closed.
            if let Ok((size, peer)) = socket.recv_from(&mut buffer) {
                serve(&socket, &buffer[..size], peer);
            }
        }
    });
    port
}

/// A UDP address on which nothing answers as long as the socket is kept: it is connected to itself.
pub fn closed_udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (socket, address)
}

/// A TCP address on which nothing listens as long as the two sockets are kept: a client has it, so nobody else gets it.
pub fn closed_tcp() -> ((TcpListener, TcpStream), SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(listener.local_addr().unwrap());
    let address = stream.local_addr().unwrap();
    ((listener, stream), address)
}

/// Fills the backlog of a listener: as long as this is kept, the system answers no new connection. (Windows refuses it.)
pub fn fill_backlog(listener: &TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        held.push(stream);
    }
    held
}

/// The loopback addresses that this machine has.
pub fn loopback_ips() -> Vec<&'static str> {
    let mut ips = vec!["127.0.0.1"];
    if UdpSocket::bind("[::1]:0").is_ok() {
        ips.push("::1");
    } else {
        skip("this machine has no ::1");
    }
    ips
}

/// A server on 127.0.0.1 that answers `one`, and says `MORE` when it is told to.
pub struct SaysMore {
    pub port: u16,
    go_on: SyncSender<()>,
    has_said_it: Receiver<TcpStream>,
}

impl SaysMore {
    pub fn start() -> Self {
        let (go_on, wait) = sync_channel(0);
        let (sender, has_said_it) = channel();
        let port = fake_tcp(move |stream| {
            assert_answer(&stream, "one\n");
            (&stream).write_all(b"ONE\n").unwrap();
            wait.recv().unwrap();
            (&stream).write_all(b"MORE\n").unwrap();
            sender.send(stream).unwrap();
        });
        Self {
            port,
            go_on,
            has_said_it,
        }
    }

    /// Returns when it has said it. The connection stays open as long as what this returns is kept.
    pub fn say_more(&self) -> TcpStream {
        self.go_on.send(()).unwrap();
        self.has_said_it.recv_timeout(DEADLINE).unwrap()
    }
}
