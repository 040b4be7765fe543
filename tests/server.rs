//! The server program: addresses, ports, limits, and what it says.

mod common;

use common::fakes::{ask, connect, exchange, udp};
use common::programs::{PROTOCOLS, Server, server};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::Instant;

#[test]
fn both_protocols_on_one_port() {
    let mut server = Server::start("");
    let address = server.address;
    // The first line is read already.
    let announced = format!("The server is ready to receive on tcp {address}");
    assert_eq!(server.program.stdout.line(), announced);
    assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
    exchange(&connect(address), "tcp");
}

#[test]
fn one_protocol_alone() {
    for protocol in PROTOCOLS {
        let mut server = Server::start(protocol);
        match protocol {
            "--udp" => assert_eq!(ask(&udp("127.0.0.1"), server.address, b"x"), b"X"),
            _ => exchange(&connect(server.address), "x"),
        }
        server.program.child.kill().unwrap();
        assert_eq!(server.program.stdout.rest(), b"", "no other line");
    }
}

#[test]
fn an_address_in_use() {
    let udp_holder = udp("127.0.0.1");
    let tcp_holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = udp_holder.local_addr().unwrap();
    let tcp = tcp_holder.local_addr().unwrap();
    let reason = UdpSocket::bind(udp).unwrap_err();
    let in_use = |name: String| format!("cannot listen on {name}: {reason}; try another --port");
    let host = "--host 127.0.0.1 --port";
    server(&format!("--udp {host} {}", udp.port())).fails("", &in_use(format!("udp {udp}")));
    server(&format!("--tcp {host} {}", tcp.port())).fails("", &in_use(format!("tcp {tcp}")));
    // It does not serve one protocol where it cannot serve the other.
    server(&format!("{host} {}", udp.port())).fails("", &in_use(format!("udp {udp}")));
}

#[test]
fn an_address_of_another_machine() {
    let reason = UdpSocket::bind("192.0.2.1:0").unwrap_err();
    let error = format!("cannot listen on udp 192.0.2.1:12000: {reason}");
    server("--host 192.0.2.1").fails("", &error);
}

#[test]
fn an_idle_connection_makes_room() {
    let flags = "--tcp --host 127.0.0.1 --port 0 --max-connections 1 --idle-timeout 0.3";
    let server = Server::ready(server(flags).start());
    let start = Instant::now();
    let mut silent = connect(server.address);
    let next = connect(server.address);
    exchange(&next, "ping");
    // It was served when the silent one was closed.
    assert!(start.elapsed().as_secs_f64() > 0.29);
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
}

/// What only Linux has, or has in this way: `/proc`, `/dev/full`, `prlimit`, namespaces, and all of
/// 127/8.
#[cfg(target_os = "linux")]
mod on_linux {
    use super::common::fakes::DEADLINE;
    use super::common::programs::{Run, SERVER, shell};
    use super::common::system::{can, in_a_namespace, kilobytes};
    use super::*;
    use std::fs::File;
    use std::io::Error;
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::process::Command;

    #[test]
    fn every_address_of_a_name_is_served_once() {
        // The last two cannot be had: one is another machine's, and the other lacks its interface.
        let script = r#"
            hosts '127.0.0.1 name' '127.0.0.2 name' '127.0.0.1 name' '192.0.2.1 name' 'fe80::1 name'
            mkfifo /srv/out; exec 3<>/srv/out
            "$server" --max-connections 2 --host name --port 40000 >&3 &
            for _ in 1 2 3 4; do read -r line <&3; echo "$line"; done
            for host in 127.0.0.1 127.0.0.2; do
                for protocol in udp tcp; do
                    echo $protocol $host | "$client" --$protocol --host $host --port 40000
                done
            done
        "#;
        let Some(run) = in_a_namespace(script) else {
            return;
        };
        let stdout = "\
            The server is ready to receive on udp 127.0.0.1:40000\n\
            The server is ready to receive on udp 127.0.0.2:40000\n\
            The server is ready to receive on tcp 127.0.0.1:40000\n\
            The server is ready to receive on tcp 127.0.0.2:40000\n\
            UDP 127.0.0.1\nTCP 127.0.0.1\nUDP 127.0.0.2\nTCP 127.0.0.2\n";
        let reason = Error::from_raw_os_error(22);
        let stderr = format!(
            "note: not listening on udp [fe80::1]:40000: {reason}\n\
             note: not listening on tcp [fe80::1]:40000: {reason}\n"
        );
        run.ends(0, stdout, &stderr);
    }

    #[test]
    fn a_port_that_is_not_permitted() {
        // It is fatal although another address remains.
        let script = r#"
            echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start
            hosts '127.0.0.1 name' '127.0.0.2 name'
            setpriv --bounding-set=-all --inh-caps=-all "$server" --udp --host name --port 79
        "#;
        if let Some(run) = in_a_namespace(script) {
            let reason = Error::from_raw_os_error(13);
            let error = "cannot listen on udp 127.0.0.1:79";
            run.fails("", &format!("{error}: {reason}; try another --port"));
        }
    }

    #[test]
    fn a_free_port_that_one_protocol_cannot_have() {
        // Of two ports, TCP can only have the second, and in the end neither.
        let script = r#"
            free_ports 40000 40001
            serve --tcp --host 127.0.0.1 --port 40000
            mkfifo /srv/out; exec 3<>/srv/out
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                "$server" --max-connections 2 --host 127.0.0.1 --port 0 >&3 &
                read -r udp <&3; read -r tcp <&3; echo "$udp, $tcp"
                { kill $!; wait $! || true; } 2>/dev/null
            done
            serve --tcp --host 127.0.0.1 --port 40001
            "$server" --tcp --host 127.0.0.1 --port 0
        "#;
        let Some(run) = in_a_namespace(script) else {
            return;
        };
        let line = "The server is ready to receive on udp 127.0.0.1:40001, \
                    The server is ready to receive on tcp 127.0.0.1:40001\n";
        let reason = Error::from_raw_os_error(98);
        let error = format!("cannot listen on tcp 127.0.0.1:0: {reason}");
        run.fails(line.repeat(10), &error);
    }

    #[test]
    fn memory_is_fixed() {
        let server = Server::start("");
        let load = || {
            let stream = connect(server.address);
            let chunk = "x".repeat(1 << 16);
            for _ in 0..100 {
                exchange(&stream, &chunk);
                exchange(&connect(server.address), "ping");
            }
            let socket = udp("127.0.0.1");
            for number in 0..3000 {
                let datagram = vec![number as u8; number];
                ask(&socket, server.address, &datagram);
            }
        };
        load();
        let before = kilobytes(&server.program, "VmRSS:");
        for _ in 0..5 {
            load();
        }
        // In between came 500 connections, and 55 MB.
        let after = kilobytes(&server.program, "VmRSS:");
        assert!(after < before + 20_000, "grown from {before} to {after} kB");
    }

    #[test]
    fn a_shortage_of_descriptors_ends() {
        if !can(Command::new("prlimit").arg("--version")) {
            return;
        }
        let mut server = Server::start("");
        let address = server.address;
        let set_limit = |server: &Server, limit: u32| {
            let pid = server.program.child.id();
            Run::new("prlimit", &format!("--pid {pid} --nofile={limit}:")).prints("");
        };
        // Each thread has a connection, and gets no descriptor for its next one.
        let streams: Vec<_> = (0..4).map(|_| connect(address)).collect();
        for stream in &streams {
            exchange(stream, "ping");
        }
        set_limit(&server, 3);
        for mut stream in streams {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        }
        let waiting: Vec<_> = (0..4).map(|_| connect(address)).collect();
        let reason = Error::from_raw_os_error(24);
        let report = format!("tcp {address}: cannot serve now: {reason}");
        assert_eq!(server.program.stderr.line(), report);
        assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
        set_limit(&server, 100);
        for stream in &waiting {
            exchange(stream, "ping");
        }
    }

    /// A host of this test alone: all of 127/8 is this machine.
    fn own_host(number: u8) -> String {
        let [.., high, low] = std::process::id().to_be_bytes();
        format!("127.{number}.{high}.{low}")
    }

    #[test]
    fn stdout_and_stderr_closed_or_full() {
        // Where it listens cannot be read there.
        let closed = (own_host(1), ">&- 2>&-");
        let full = (own_host(2), ">/dev/full 2>/dev/full");
        for (host, redirection) in [closed, full] {
            let server = "\"$server\" --verbose --max-connections 4";
            let script = format!("exec {server} --host {host} {redirection}");
            let _server = shell(&script).start();
            let address: SocketAddr = format!("{host}:12000").parse().unwrap();
            let start = Instant::now();
            while TcpStream::connect(address).is_err() {
                assert!(start.elapsed() < DEADLINE, "it does not listen");
            }
            let stream = connect(address);
            for _ in 0..3 {
                exchange(&stream, "ping");
                assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
            }
        }
    }

    #[test]
    fn threads_that_cannot_be_started() {
        // The limit does not hold for root, and it counts all threads of a user. So this is a user
        // that has no others. It may not be able to read this folder, so the program is opened
        // here.
        let user = 50_000 + std::process::id() % 10_000;
        let with_one_thread = |flags: &str| {
            let setpriv = format!("--reuid={user} --clear-groups prlimit --nproc=1");
            let run = Run::new("setpriv", &format!("{setpriv} /proc/self/fd/0 {flags}"));
            run.stdin(File::open(SERVER).unwrap())
        };
        if !can(&mut with_one_thread("--version").command) {
            return;
        }
        let host = own_host(3);
        let reason = Error::from_raw_os_error(11);
        let udp = format!("cannot start a thread for udp {host}:12000: {reason}");
        with_one_thread(&format!("--udp --host {host}")).fails("", &udp);
        let tcp = format!(
            "cannot start 1000 threads for tcp {host}:12000: {reason}; lower --max-connections"
        );
        let flags = format!("--tcp --max-connections 1000 --host {host}");
        with_one_thread(&flags).fails("", &tcp);
    }
}
