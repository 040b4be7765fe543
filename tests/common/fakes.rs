//! The network of the tests: sockets with a deadline, the library's servers with their events, fake
//! servers, and addresses where nobody answers. All are on this machine, on ports that are free.

use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use uppercase_echo::{Event, tcp, udp};

use super::system::skip;

/// Far more than anything here should take: what waits longer is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Makes a call that must come to an end by itself. Panics if it does not.
#[track_caller]
pub fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = channel();
    thread::spawn(move || sender.send(call()));
    result.recv_timeout(DEADLINE).expect("an end in time")
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

/// A UDP socket with a deadline.
pub fn udp(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Makes a call again that a signal has interrupted. That happens to sockets with a deadline.
pub fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == Interrupted => {}
            result => return result,
        }
    }
}

/// Sends one datagram and returns the next that comes, which must be from the server.
#[track_caller]
pub fn ask(socket: &UdpSocket, server: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    socket.send_to(datagram, server).unwrap();
    let mut answer = vec![0; 65_536];
    let (size, from) = retry(|| socket.recv_from(&mut answer)).unwrap();
    assert_eq!(from, server);
    answer.truncate(size);
    answer
}

/// A TCP connection with a deadline.
#[track_caller]
pub fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, DEADLINE).unwrap();
    set_deadline(&stream);
    stream
}

/// Gives a connection the deadline. `connect` does so itself.
pub fn set_deadline(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
}

/// Sends a sentence over TCP and reads its answer, which is as long.
#[track_caller]
pub fn exchange(mut stream: &TcpStream, sentence: &str) {
    stream.write_all(sentence.as_bytes()).unwrap();
    assert_answer(stream, &sentence.to_uppercase());
}

/// Reads as much as `expected` is long.
#[track_caller]
pub fn assert_answer(mut stream: &TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

/// An observer, and the events that it is given.
pub fn observer() -> (impl Fn(Event) + Send + Sync + 'static, Receiver<Event>) {
    let (sender, events) = channel();
    // A test that does not look at the events may have dropped them.
    let observer = move |event| drop(sender.send(event));
    (observer, events)
}

/// The next events, as many as are asked for.
#[track_caller]
pub fn next_events(events: &Receiver<Event>, count: usize) -> Vec<Event> {
    let next = |_| events.recv_timeout(DEADLINE).expect("an event");
    (0..count).map(next).collect()
}

/// The library's UDP server, and its events.
pub fn udp_server(ip: &str) -> (SocketAddr, Receiver<Event>) {
    udp_server_on(UdpSocket::bind((ip, 0)).unwrap())
}

pub fn udp_server_on(socket: UdpSocket) -> (SocketAddr, Receiver<Event>) {
    let address = socket.local_addr().unwrap();
    let (observer, events) = observer();
    udp::serve(socket, observer).unwrap();
    (address, events)
}

/// The library's TCP server for some connections at once, and its events.
pub fn tcp_server(ip: &str, connections: usize, idle: Duration) -> (SocketAddr, Receiver<Event>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    tcp_server_on(listener, connections, idle)
}

pub fn tcp_server_on(
    listener: TcpListener,
    connections: usize,
    idle: Duration,
) -> (SocketAddr, Receiver<Event>) {
    let address = listener.local_addr().unwrap();
    let (observer, events) = observer();
    tcp::serve(listener, connections, idle, observer).unwrap();
    (address, events)
}

/// A UDP server that hands each datagram, and the address of its sender, to `serve`.
pub fn fake_udp(
    mut serve: impl FnMut(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            // On Windows it fails if an earlier answer found its port closed.
            if let Ok((size, peer)) = socket.recv_from(&mut buffer) {
                serve(&socket, &buffer[..size], peer);
            }
        }
    });
    address
}

/// A TCP server that hands one connection after the other to `serve`.
pub fn fake_tcp(mut serve: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            set_deadline(&stream);
            serve(stream);
        }
    });
    address
}

/// What a scripted server does with each connection, one step after the other. Then it closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Reads what has come: at least one byte, and usually all that one write has sent.
    ReadOnce,
    /// Reads one byte. To close while there is more to read resets the connection.
    ReadByte,
    /// Reads until the client has finished sending.
    ReadAll,
    Say(&'static str),
    /// Says it byte by byte, with 150 ms before each.
    SaySlowly(&'static str),
    /// Never closes.
    Stay,
}

/// A TCP server made of steps. The client may leave earlier.
pub fn scripted_tcp(steps: impl AsRef<[Step]> + Send + 'static) -> SocketAddr {
    let mut kept = Vec::new();
    fake_tcp(move |mut stream| {
        for step in steps.as_ref() {
            match step {
                Step::ReadOnce => drop(retry(|| stream.read(&mut [0; 1000]))),
                Step::ReadByte => drop(retry(|| stream.read(&mut [0; 1]))),
                Step::ReadAll => drop(stream.read_to_end(&mut Vec::new())),
                Step::Say(text) => drop(stream.write_all(text.as_bytes())),
                Step::SaySlowly(text) => {
                    for byte in text.bytes() {
                        thread::sleep(Duration::from_millis(150));
                        let _ = stream.write_all(&[byte]);
                    }
                }
                Step::Stay => kept.push(stream.try_clone().unwrap()),
            }
        }
    })
}

/// An address whose UDP port is closed to others as long as the socket is kept: the socket is
/// connected to itself.
pub fn closed_udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (socket, address)
}

/// Whether the system reports closed UDP ports. Wine does not.
pub fn reports_closed_udp() -> bool {
    let (_kept, closed) = closed_udp();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(closed).unwrap();
    let timeout = Duration::from_secs(1);
    socket.set_read_timeout(Some(timeout)).unwrap();
    socket.send(b"?").unwrap();
    let kind = retry(|| socket.recv(&mut [0])).unwrap_err().kind();
    let is_reported = [ConnectionRefused, ConnectionReset].contains(&kind);
    if !is_reported {
        skip("this system does not report closed UDP ports");
    }
    is_reported
}

/// An address where nothing listens as long as the two sockets are kept: a client has this port, so
/// nobody else gets it.
pub fn closed_tcp() -> ((TcpListener, TcpStream), SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(listener.local_addr().unwrap());
    let address = stream.local_addr().unwrap();
    ((listener, stream), address)
}

/// Fills the backlog of a listener. As long as the connections are kept, the system answers no new
/// one. (Windows refuses it.)
pub fn fill_backlog(listener: &TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut kept = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        kept.push(stream);
    }
    kept
}
