//! The server program under what its peers, its operator and the system may do to it.
//!
//! Promises: the server goes on; it is bounded.

mod common;

use common::{DEADLINE, Server, ask, assert_ends, exchange, run, server, udp};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

mod the_start {
    use super::*;

    #[test]
    fn both_protocols_on_one_port() {
        let server = Server::start("");
        let address = server.address;
        let announced = format!("The server is ready to receive on tcp {address}");
        assert_eq!(server.program.line(), announced);
        assert_eq!(ask(&udp("127.0.0.1"), address, b"x"), b"X");
        exchange(&server.connect(), "x");
    }

    #[test]
    fn a_port_in_use() {
        let udp_holder = udp("127.0.0.1");
        let tcp_holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = udp_holder.local_addr().unwrap();
        let tcp = tcp_holder.local_addr().unwrap();
        let udp_failure = UdpSocket::bind(udp).unwrap_err();
        let tcp_failure = TcpListener::bind(tcp).unwrap_err();
        // Without a flag it wants both, and does not serve the one where it cannot serve the other.
        #[rustfmt::skip]
        let cases = [
            ("--udp", udp.port(), format!("cannot listen on udp {udp}: {udp_failure}")),
            ("--tcp", tcp.port(), format!("cannot listen on tcp {tcp}: {tcp_failure}")),
            ("", udp.port(), format!("cannot listen on udp {udp}: {udp_failure}")),
        ];
        for (flags, port, error) in cases {
            let output = run(&mut server(flags, "127.0.0.1", port));
            assert_ends(&output, 1, b"", &format!("error: {error}\n"));
        }
    }

    #[test]
    fn an_address_of_another_machine() {
        let failure = UdpSocket::bind("192.0.2.1:0").unwrap_err();
        let error = format!("error: cannot listen on udp 192.0.2.1:12000: {failure}\n");
        let output = run(&mut server("--udp", "192.0.2.1", 12000));
        assert_ends(&output, 1, b"", &error);
    }

    #[test]
    fn restart_on_the_same_port() {
        let first = Server::start("--tcp");
        let address = first.address;
        let mut stream = first.connect();
        exchange(&stream, "ping");
        // The server closes first, and then the client, so the server's port lingers in TIME-WAIT.
        drop(first);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
        drop(stream);
        let again = Server::spawn(&mut server("--tcp", "127.0.0.1", address.port()));
        assert_eq!(again.address, address);
    }
}

mod it_is_bounded {
    use super::*;

    #[test]
    fn the_idle_timeout_ends_a_silent_connection() {
        let server = Server::start("--tcp --idle-timeout 0.2 --max-connections 1");
        let start = Instant::now();
        let (mut silent, next) = (server.connect(), server.connect());
        exchange(&next, "ping");
        // It had to wait until the silent one ended.
        let expected = Duration::from_millis(190)..DEADLINE / 10;
        assert!(expected.contains(&start.elapsed()));
        assert_eq!(common::retry(|| silent.read(&mut [0; 1])), 0);
    }
}

#[cfg(unix)]
mod the_server_goes_on {
    use super::*;

    #[test]
    fn stopped_and_continued() {
        // Both programs, in the middle of a line, with Ctrl-Z and `fg`.
        let server = Server::start("");
        for protocol in common::PROTOCOLS {
            let mut client = common::client(&format!("{protocol} -w 20"), server.port()).spawn();
            for line in 0..20 {
                common::signal(&client.child, "-STOP");
                common::signal(&server.program.child, "-STOP");
                client.send(&format!("line {line}\n"));
                common::signal(&client.child, "-CONT");
                common::signal(&server.program.child, "-CONT");
                assert_eq!(client.line(), format!("LINE {line}"));
            }
            assert_eq!(client.close_stdin_and_wait(), Some(0));
        }
    }
}

/// What only Linux has, or has in this way: `/proc`, `/dev/full`, limits that hold, and namespaces.
#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;
    use common::{Program, SERVER};
    use std::fs;
    use std::io::Write;
    use std::net::SocketAddr;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Output, Stdio};

    /// How many kilobytes of memory it has.
    fn memory(server: &Server) -> u64 {
        common::kilobytes(&server.program.child, "VmRSS:").unwrap()
    }

    /// Shell commands that leave `descriptors`, none of them in use but the first three. Make, editors and others may have
    /// given more of them to the tests, and so to what the tests start.
    fn limit_descriptors(descriptors: u32) -> String {
        format!(
            "for fd in $(ls /proc/self/fd); do [ $fd -le 2 ] || eval \"exec $fd>&-\"; done; ulimit -n {descriptors}"
        )
    }

    /// The C library's words for an error.
    fn system_says(error: i32) -> String {
        std::io::Error::from_raw_os_error(error).to_string()
    }

    mod it_is_bounded {
        use super::*;

        #[test]
        fn random_datagrams_in_fixed_memory() {
            let server = Server::start("--udp");
            let socket = udp("127.0.0.1");
            let mut random = common::random();
            let mut datagram = vec![0; 2048];
            let mut send = |datagrams: u32| {
                for count in 0..datagrams {
                    let bytes: Vec<u8> = (0..8).flat_map(|_| random().to_ne_bytes()).collect();
                    datagram[..64].copy_from_slice(&bytes);
                    let sent = &datagram[..random() as usize % 2048];
                    if count % 64 == 0 {
                        ask(&socket, server.address, sent);
                    } else {
                        // From a socket that reads no answers.
                        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
                        other.send_to(sent, server.address).unwrap();
                    }
                }
            };
            send(10_000);
            let before = memory(&server);
            send(40_000);
            // They were 40,000 kB.
            let after = memory(&server);
            assert!(after < before + 10_000, "grown from {before} to {after} kB");
            assert_eq!(ask(&socket, server.address, b"still here"), b"STILL HERE");
        }

        #[test]
        fn a_stream_in_fixed_memory() {
            let server = Server::start("--tcp");
            let chunk = "x".repeat(1 << 16);
            let stream = server.connect();
            exchange(&stream, &chunk);
            let before = memory(&server);
            for _ in 0..600 {
                exchange(&stream, &chunk);
            }
            // They were 38,400 kB.
            let after = memory(&server);
            assert!(after < before + 10_000, "grown from {before} to {after} kB");
        }
    }

    mod the_server_goes_on {
        use super::*;

        #[test]
        fn out_of_descriptors() {
            // 64 threads, each wanting a descriptor, and 24 for all of the process.
            let limit = limit_descriptors(24);
            let script =
                format!("{limit}; exec '{SERVER}' --max-connections 64 --host 127.0.0.1 --port 0");
            let server = Server::spawn(Command::new("bash").args(["-c", &script]));
            let address = server.address;
            let reason = system_says(24);
            let trouble = format!("tcp {address}: cannot serve now: {reason}");
            assert_eq!(server.program.error_line(), trouble);
            let held: Vec<_> = (0..10).map(|_| server.connect()).collect();
            for stream in &held {
                exchange(stream, "ping");
            }
            // All its descriptors are taken; UDP goes on.
            let waiting: Vec<_> = (0..30).map(|_| server.connect()).collect();
            assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
            drop(waiting);
            drop(held);
            for _ in 0..100 {
                exchange(&server.connect(), "ping");
            }
            // It was said once, since the trouble has not ended.
            assert!(server.program.killed().is_empty());
        }

        #[test]
        fn a_stderr_that_nobody_reads_holds_up_one_thread() {
            if !common::has("prlimit") {
                return;
            }
            // A stderr that is full: the first report waits without end.
            let (stderr, _nobody_reads) = UnixStream::pair().unwrap();
            stderr.set_nonblocking(true).unwrap();
            while (&stderr).write(&[b'.'; 4096]).is_ok() {}
            stderr.set_nonblocking(false).unwrap();
            let stderr = OwnedFd::from(stderr).into();
            let mut command = server("--tcp --max-connections 4", "127.0.0.1", 0);
            let server = Server::ready(
                Program::spawn_with(&mut command, Stdio::piped(), stderr).with_lines(),
            );
            let set_limit = |limit: &str| {
                let pid = server.program.child.id().to_string();
                let limit = format!("--nofile={limit}:");
                let prlimit = run(Command::new("prlimit").args(["--pid", &pid, &limit]));
                assert_ends(&prlimit, 0, b"", "");
            };

            // Each thread has a connection, and gets no descriptor for its next.
            let streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
            for stream in &streams {
                exchange(stream, "ping");
            }
            set_limit("3");
            for mut stream in streams {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(common::retry(|| stream.read(&mut [0; 1])), 0);
            }
            // So long does the shortage last.
            std::thread::sleep(Duration::from_millis(200));
            set_limit("100");
            let streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
            for stream in &streams {
                exchange(stream, "ping");
            }
            // The fourth thread is held up.
            let mut fourth = server.connect();
            fourth.write_all(b"ping").unwrap();
            let short = Some(Duration::from_millis(100));
            fourth.set_read_timeout(short).unwrap();
            fourth.read(&mut [0; 4]).unwrap_err();
        }

        #[test]
        fn a_send_that_fails_for_good_is_said_once() {
            // A firewall of its own: no answer goes out.
            let script = format!(
                "ip rule add pref 0 ipproto udp sport 40000 prohibit; ip rule add pref 1 lookup local; \
                 ip rule del pref 0 lookup local; \
                 coproc '{SERVER}' --udp --host 127.0.0.1 --port 40000; read -u ${{COPROC[0]}}; \
                 echo x | '{}' --udp --host 127.0.0.1 --port 40000 -w 1.2",
                common::CLIENT
            );
            if let Some(mut command) = common::in_a_namespace("", "40001 40100", &script) {
                let reason = system_says(13);
                let told = format!(
                    "udp 127.0.0.1:40000: cannot serve now: {reason}\n\
                     error: no answer from udp 127.0.0.1:40000 within 1.2 s\n"
                );
                assert_ends(&run(&mut command), 1, b"", &told);
            }
        }

        /// The port of a program's listening socket, as the system's tables have it.
        fn listening_port(id: u32) -> Option<u16> {
            let descriptors: Vec<_> = fs::read_dir(format!("/proc/{id}/fd"))
                .ok()?
                .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
                .map(|link| link.to_string_lossy().into_owned())
                .collect();
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            table.lines().find_map(|line| {
                // Its number, local address, remote address, state (10 is listening), and, as the tenth, its inode.
                let words: Vec<_> = line.split_whitespace().collect();
                let socket = format!("socket:[{}]", words[9]);
                let port = words[1].rsplit(':').next().unwrap();
                (words[3] == "0A" && descriptors.contains(&socket))
                    .then(|| u16::from_str_radix(port, 16).unwrap())
            })
        }

        #[test]
        fn a_stdout_and_stderr_that_are_closed_or_full() {
            for redirection in [">&- 2>&-", ">/dev/full 2>/dev/full"] {
                let shell =
                    format!("exec '{SERVER}' --verbose --host 127.0.0.1 --port 0 {redirection}");
                let mut server = Program::spawn(Command::new("bash").args(["-c", &shell]));
                let end = Instant::now() + DEADLINE;
                let port = loop {
                    match listening_port(server.child.id()) {
                        Some(port) => break port,
                        None => assert!(Instant::now() < end, "{:?}", server.child.try_wait()),
                    }
                };
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let stream = common::connect(address);
                for _ in 0..3 {
                    exchange(&stream, "ping");
                    exchange(&common::connect(address), "ping");
                    assert_eq!(ask(&udp("127.0.0.1"), address, b"udp"), b"UDP");
                }
            }
        }
    }

    mod the_start {
        use super::*;

        /// Runs a server that a limit of processes holds to `threads`, its own first one among them. `None`, and a visible
        /// word, where that cannot be done.
        fn with_few_threads(threads: u32, flags: &str) -> Option<Output> {
            let script =
                format!("ulimit -u {threads}; exec \"$0\" {flags} --host 127.0.0.1 --port 0");
            let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
            if !is_root {
                common::skip(
                    "the limit counts a user's processes; only root can be one without any",
                );
                return None;
            }
            if !common::has("setpriv") {
                return None;
            }
            // The limit does not hold for root. A stranger's id may not read here, so it gets a copy.
            let copy = std::env::temp_dir().join(format!("uppercase-echo-{}", std::process::id()));
            // Not with `fs::copy`: a program that another test starts just now would have it open for writing, too, and
            // then it cannot be started.
            let cp = run(Command::new("cp").arg(SERVER).arg(&copy));
            assert_ends(&cp, 0, b"", "");
            let user = format!("--reuid={}", 50_000 + std::process::id() % 10_000);
            let mut command = Command::new("setpriv");
            command
                .args([&user, "--clear-groups", "bash", "-c", &script])
                .arg(&copy);
            let output = run(&mut command);
            fs::remove_file(copy).unwrap();
            Some(output)
        }

        #[test]
        fn threads_that_cannot_be_started() {
            // One thread is enough to print the version, but an emulator needs some of its own.
            let mut least = 1;
            loop {
                match with_few_threads(least, "--version") {
                    None => return,
                    Some(output) if output.status.success() => break,
                    Some(output) => assert!(least < 10, "{output:?}"),
                }
                least += 1;
            }
            let reason = system_says(11);
            #[rustfmt::skip]
            let cases = [
                (0, "--udp", format!("error: cannot start a thread for udp ADDRESS: {reason}\n")),
                (0, "--tcp --max-connections 1", format!("error: cannot start a thread for tcp ADDRESS: {reason}\n")),
                (0, "--tcp --max-connections 2", format!("error: cannot start 2 threads for tcp ADDRESS: {reason}; lower --max-connections\n")),
                (39, "", format!("error: cannot start 256 threads for tcp ADDRESS: {reason}; lower --max-connections\n")),
            ];
            for (more, flags, expected) in cases {
                let output = with_few_threads(least + more, flags).unwrap();
                let stderr = String::from_utf8(output.stderr.clone()).unwrap();
                let address = stderr
                    .split(' ')
                    .find(|word| word.starts_with("127.0.0.1:"));
                let address = address.expect(&stderr).trim_end_matches(':');
                assert_ends(&output, 1, b"", &expected.replace("ADDRESS", address));
            }
        }

        #[test]
        fn an_address_that_cannot_be_had_is_said() {
            // A name of two addresses, and descriptors for one of them.
            let limit = limit_descriptors(4);
            let script = format!("{limit}; exec '{SERVER}' --udp --host two.example --port 40000");
            let hosts = "127.0.0.1 two.example\n127.0.0.2 two.example\n";
            let Some(mut command) = common::in_a_namespace(hosts, "40000 40100", &script) else {
                return;
            };
            let server = Program::spawn(&mut command);
            let reason = system_says(24);
            let note = format!("note: not listening on udp 127.0.0.2:40000: {reason}");
            assert_eq!(server.error_line(), note);
            assert_eq!(
                server.line(),
                "The server is ready to receive on udp 127.0.0.1:40000"
            );
            assert!(server.killed().is_empty());
        }

        #[test]
        fn every_address_of_a_name_is_served() {
            // One address is there twice.
            let hosts = "127.0.0.1 two.example\\n127.0.0.2 two.example\\n127.0.0.1 two.example\\n";
            let client = common::CLIENT;
            let script = format!(
                "coproc '{SERVER}' --udp --tcp --host two.example --port 40000; \
                 for _ in 1 2 3 4; do read -u ${{COPROC[0]}} line; echo $line; done; \
                 for host in 127.0.0.1 127.0.0.2; do for protocol in udp tcp; do \
                 echo $protocol $host | '{client}' --$protocol --host $host --port 40000; done; done"
            );
            if let Some(mut command) = common::in_a_namespace(hosts, "41000 42000", &script) {
                let expected = "The server is ready to receive on udp 127.0.0.1:40000\n\
                                The server is ready to receive on udp 127.0.0.2:40000\n\
                                The server is ready to receive on tcp 127.0.0.1:40000\n\
                                The server is ready to receive on tcp 127.0.0.2:40000\n\
                                UDP 127.0.0.1\nTCP 127.0.0.1\nUDP 127.0.0.2\nTCP 127.0.0.2\n";
                assert_ends(&run(&mut command), 0, expected.as_bytes(), "");
            }
        }

        #[test]
        fn a_free_port_that_one_protocol_cannot_have() {
            // Of two ports, TCP can only have the second.
            let script = format!(
                "coproc '{SERVER}' --tcp --host 127.0.0.1 --port 40000; read -u ${{COPROC[0]}}; \
                 mkfifo /srv/out; for _ in 1 2 3 4 5 6 7 8 9 10; do \
                 '{SERVER}' --max-connections 1 --host 127.0.0.1 --port 0 >/srv/out & exec 3</srv/out; \
                 read -u 3 udp; read -u 3 tcp; echo $udp, $tcp; kill $!; wait $! || true; done"
            );
            if let Some(mut command) = common::in_a_namespace("", "40000 40001", &script) {
                let line = "The server is ready to receive on udp 127.0.0.1:40001, \
                            The server is ready to receive on tcp 127.0.0.1:40001\n";
                assert_ends(&run(&mut command), 0, line.repeat(10).as_bytes(), "");
            }
        }
    }
}
