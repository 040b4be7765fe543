//! The library's TCP server and client.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use uppercase_echo::tcp;

use super::DEADLINE;

/// A server for `n` connections, and its events.
pub fn serve_tcp(ip: &str, n: usize, idle: Duration) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, events) = channel();
    tcp::serve(listener, NonZero::new(n).unwrap(), idle, move |event| {
        let _ = sender.send(event.to_string());
    })
    .unwrap();
    (address, events)
}

/// A client of a server on a port of 127.0.0.1.
pub fn tcp_client(port: u16) -> tcp::Client {
    tcp_client_of(&[([127, 0, 0, 1], port).into()], DEADLINE)
}

pub fn tcp_client_of(addresses: &[SocketAddr], timeout: Duration) -> tcp::Client {
    tcp::Client::connect(addresses, timeout, |_| {}).unwrap()
}
