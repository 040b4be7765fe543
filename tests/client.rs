//! The client program in a pipe: stdin, stdout, messages, exit status.

mod common;

use common::fakes::Step::{ReadAll, Stay};
use common::fakes::{closed_tcp, closed_udp, fake_udp, reports_closed_udp, scripted_tcp};
use common::programs::{PROTOCOLS, Server, client};
use std::net::ToSocketAddrs;

#[test]
fn every_byte_of_stdin() {
    let server = Server::start("");
    for protocol in PROTOCOLS {
        let check = |input: &[u8], output: &[u8]| {
            client(protocol, server.port()).input(input).prints(output);
        };
        check(b"", b"");
        check(b"\n", b"\n");
        check("hello, straße\n".as_bytes(), b"HELLO, STRASSE\n");
        check(b"no newline", b"NO NEWLINE");
        check(b"a\n\n\nb", b"A\n\n\nB");
        check(b"cr\r\n\r\n\r", b"CR\r\n\r\n\r");
        check(b"\xFF\xFEx\xC3\n\xA9\n", b"\xFF\xFEX\xC3\n\xA9\n");
        check(b"nul\0\n", b"NUL\0\n");
    }
}

#[test]
fn the_newline_of_a_udp_line_stays_here() {
    let server = fake_udp(|socket, sentence, peer| {
        let answer = [b"[", sentence, b"]"].concat();
        socket.send_to(&answer, peer).unwrap();
    });
    let client = client("--udp", server.port()).input("lf\ncr\r\n\nno newline");
    client.prints("[lf]\n[cr\r]\n[]\n[no newline]");
}

#[test]
#[cfg(not(target_os = "macos"))] // it sends none of more than 9,216 bytes
fn the_longest_line() {
    let server = Server::start("--udp");
    let longest = "x".repeat(65507);
    for end in ["", "\n"] {
        let client = client("--udp", server.port()).input(format!("{longest}{end}"));
        client.prints(format!("{}{end}", longest.to_uppercase()));
    }
}

#[test]
fn lines_that_do_not_fit_in_a_datagram() {
    let server = Server::start("--udp");
    let too_long = "x".repeat(65508);
    let error = "line 3 is longer than 65507 bytes, the most a UDP datagram carries; use --tcp";
    for end in ["", "\n", "more"] {
        let input = format!("a\nb\n{too_long}{end}");
        let client = client("--udp", server.port()).input(input);
        client.fails("A\nB\n", error);
    }
}

#[test]
fn an_answer_that_was_cut() {
    let server = fake_udp(|socket, sentence, peer| {
        let size = sentence.len().min(2048);
        socket.send_to(&sentence[..size], peer).unwrap();
    });
    let input = format!("one\ntwo\n{}\nfour\n", "3".repeat(2049));
    let error = "line 3: the answer was cut to 2048 bytes; use --tcp";
    client("--udp", server.port())
        .input(input)
        .fails("one\ntwo\n", error);
}

#[test]
fn nothing_is_listening() {
    let (_kept, udp) = closed_udp();
    let (_kept, tcp) = closed_tcp();
    for (protocol, port) in [("udp", udp.port()), ("tcp", tcp.port())] {
        if protocol == "udp" && !reports_closed_udp() {
            continue;
        }
        let by_name = format!(
            "nothing is listening on {protocol} localhost:{port}; \
             start it with: server --{protocol} --port {port}"
        );
        client(&format!("--{protocol}"), port)
            .input("x")
            .fails("", &by_name);
        let by_address = format!("nothing is listening on {protocol} 127.0.0.1:{port}");
        client(&format!("--{protocol} --host 127.0.0.1"), port)
            .input("x")
            .fails("", &by_address);
    }
}

#[test]
fn no_answer_in_time() {
    let silent_udp = fake_udp(|_, _, _| {}).port();
    let silent_tcp = scripted_tcp([ReadAll, Stay]).port();
    for (protocol, port) in [("udp", silent_udp), ("tcp", silent_tcp)] {
        let error = format!("no answer from {protocol} localhost:{port} within 0.4 s");
        client(&format!("--{protocol} -w 0.4"), port)
            .input("hello\n")
            .fails("", &error);
    }
}

#[test]
fn a_name_that_nobody_has() {
    // With an empty part between two dots it cannot be a name, so no name server is asked.
    let reason = ("nosuch..invalid", 1).to_socket_addrs().unwrap_err();
    let error = format!("cannot resolve nosuch..invalid: {reason}");
    client("--udp --host nosuch..invalid", 12000).fails("", &error);
}

#[test]
fn head_closes_the_pipe() {
    let server = Server::start("");
    for protocol in PROTOCOLS {
        let input = "yes\n".repeat(1_000_000);
        let client = client(protocol, server.port()).input(input);
        let mut client = client.start_with_input();
        assert_eq!(client.stdout.line(), "YES");
        client.stdout.close();
        client.ends(0, "", "");
    }
}

#[cfg(unix)]
mod on_unix {
    use super::common::fakes::Step::{ReadOnce, Say};
    use super::common::fakes::{DEADLINE, fake_tcp};
    use super::common::system::signal;
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::UdpSocket;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    // Wine sends it.
    #[test]
    fn a_send_that_the_system_refuses() {
        let send = || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect("255.255.255.255:12000")?;
            socket.send(b"x")
        };
        let reason = send().unwrap_err();
        let error = format!("cannot talk to udp 255.255.255.255:12000: {reason}");
        client("--udp -w 0.3 --host 255.255.255.255", 12000)
            .input("x")
            .fails("", &error);
    }

    #[test]
    fn an_unreadable_stdin() {
        let server = Server::start("");
        let directory = || File::open(".").unwrap();
        let reason = directory().read(&mut [0]).unwrap_err();
        for protocol in PROTOCOLS {
            client(protocol, server.port())
                .stdin(directory())
                .fails("", &format!("cannot read stdin: {reason}"));
        }
    }

    #[test]
    fn an_endless_line_is_not_read_to_its_end() {
        let server = Server::start("--udp");
        let error = "line 1 is longer than 65507 bytes, the most a UDP datagram carries; use --tcp";
        client("--udp", server.port())
            .stdin(File::open("/dev/zero").unwrap())
            .fails("", error);
    }

    #[test]
    fn stopped_for_longer_than_the_timeout() {
        let (received, has_received) = channel();
        let (answer, may_answer) = channel();
        let server = fake_tcp(move |mut stream| {
            stream.read_exact(&mut [0; 4]).unwrap();
            received.send(()).unwrap();
            may_answer.recv().unwrap();
            stream.write_all(b"ONE\n").unwrap();
        });
        let mut client = client("--tcp -w 1", server.port()).start();
        client.send("one\n");
        client.close_stdin();
        has_received.recv_timeout(DEADLINE).unwrap();
        signal(&client, "-STOP");
        thread::sleep(Duration::from_millis(1300));
        signal(&client, "-CONT");
        // It waits for some ticks more before it gets the answer.
        thread::sleep(Duration::from_millis(250));
        answer.send(()).unwrap();
        client.ends(0, "ONE\n", "");
    }

    #[test]
    fn stopped_for_longer_than_the_half_second_after_the_servers_end() {
        let port = scripted_tcp([ReadOnce, Say("ONE\n")]).port();
        let mut client = client("--tcp", port).start();
        client.send("one\n");
        assert_eq!(client.stdout.line(), "ONE");
        let a_tick_or_so = Duration::from_millis(60);
        thread::sleep(a_tick_or_so);
        signal(&client, "-STOP");
        thread::sleep(Duration::from_millis(700));
        signal(&client, "-CONT");
        thread::sleep(a_tick_or_so);
        client.close_stdin();
        client.ends(0, "", "");
    }
}

/// What only Linux has, or has in this way: `/proc`, `/dev/full`, namespaces.
#[cfg(target_os = "linux")]
mod on_linux {
    use super::common::system::{in_a_namespace, kilobytes};
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn a_full_disk() {
        let server = Server::start("");
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let reason = full().write(b"x").unwrap_err();
        for protocol in PROTOCOLS {
            client(protocol, server.port())
                .input("hi\n")
                .stdout(full())
                .fails("", &format!("cannot write to stdout: {reason}"));
        }
    }

    #[test]
    fn a_line_of_128_megabytes_in_constant_memory() {
        const SIZE: usize = 128 << 20;
        let server = Server::start("--tcp");
        let client = client("--tcp", server.port()).input(vec![b'a'; SIZE]);
        let mut client = client.start_with_input();
        let mut size = 0;
        let mut early_peak = None;
        let mut late_peak = None;
        while let Some(piece) = client.stdout.piece() {
            assert!(piece.iter().all(|&byte| byte == b'A'));
            size += piece.len();
            // It goes on only when the next piece is taken, so it is still there.
            if size > SIZE / 8 && early_peak.is_none() {
                early_peak = Some(kilobytes(&client, "VmHWM:"));
            }
            if size > SIZE - SIZE / 16 && late_peak.is_none() {
                late_peak = Some(kilobytes(&client, "VmHWM:"));
            }
        }
        assert_eq!(size, SIZE);
        client.ends(0, "", "");
        // Between the two came 104 MiB.
        let (early, late) = (early_peak.unwrap(), late_peak.unwrap());
        assert!(late < early + 20_000, "grown from {early} to {late} kB");
    }

    #[test]
    fn the_own_port_is_never_the_servers() {
        // Of the two free ports, one is the server's: about half of the clients get that one first.
        let script = r#"
            free_ports 40000 40001
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                ! echo hello | "$client" --udp --host 127.0.0.1 --port 40000
            done
        "#;
        if let Some(clients) = in_a_namespace(script) {
            let error = "error: nothing is listening on udp 127.0.0.1:40000\n";
            clients.ends(0, "", &error.repeat(10));
        }
    }

    #[test]
    fn a_tcp_socket_that_is_connected_to_itself() {
        // The only free port is the one that is asked.
        let script = r#"
            free_ports 40000 40000
            echo hello | "$client" --tcp --host 127.0.0.1 --port 40000
        "#;
        if let Some(client) = in_a_namespace(script) {
            client.fails("", "nothing is listening on tcp 127.0.0.1:40000");
        }
    }
}
