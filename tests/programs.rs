//! The two programs together, as a user runs them: input, output, flags, and what they say.
//!
//! Promises: the client ends; answers belong to their lines; any amount of input.

mod common;

use common::{
    CLIENT, DEADLINE, PROTOCOLS, Program, SERVER, Server, TOO_LONG, assert_ends, client, kilobytes,
    run,
};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

mod the_client_ends {
    use super::*;

    #[test]
    fn every_byte_of_stdin() {
        let server = Server::start("");
        #[rustfmt::skip]
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"\n", b"\n"),
            ("hello, straße\n".as_bytes(), b"HELLO, STRASSE\n"),
            (b"no newline", b"NO NEWLINE"),
            (b"a\n\n\nb", b"A\n\n\nB"),
            (b"cr\r\nlf\n", b"CR\r\nLF\n"),
            (b"cr\r\n\r\n\r", b"CR\r\n\r\n\r"),
            (b"\xFF\xFEx\xC3\n\xA9\n", b"\xFF\xFEX\xC3\n\xA9\n"),
            (b"nul\0\n", b"NUL\0\n"),
        ];
        for protocol in PROTOCOLS {
            for (input, output) in cases {
                client(protocol, server.port()).input(input).prints(output);
            }
        }
    }

    #[test]
    fn the_reader_of_stdout_leaves() {
        let server = Server::start("");
        for protocol in PROTOCOLS {
            let mut client = client(protocol, server.port()).spawn();
            client.flood("yes\n");
            assert_eq!(client.line(), "YES");
            client.close_stdout();
            assert_eq!(client.status(), Some(0));
            assert!(client.other_error_lines().is_empty());
        }
    }

    #[test]
    fn lines_that_do_not_fit_in_a_datagram() {
        let server = Server::start("--udp");
        let port = server.port();
        let longest = "x".repeat(65507);
        if !cfg!(target_os = "macos") {
            for end in ["", "\n", "\r\n"] {
                client("--udp", port)
                    .input(format!("{longest}{end}"))
                    .prints(format!("{}{end}", longest.to_uppercase()));
            }
            // 21,834 bytes of letters that treble, and five more: their upper case just fits.
            let trebled = "\u{390}".repeat(10_917) + "xyzab";
            client("--udp", port)
                .input(&trebled)
                .prints(trebled.to_uppercase());
        }
        for end in ["", "\n", "\r\n", "more"] {
            client("--udp", port)
                .input(format!("a\nb\n{longest}x{end}"))
                .fails_with("A\nB\n", &format!("line 3 {TOO_LONG}"));
        }
        let trebled = "\u{390}".repeat(10_917) + "xyzabc";
        client("--udp", port)
            .input(trebled)
            .fails_with("", &format!("the upper case of line 1 {TOO_LONG}"));
    }
}

mod the_messages {
    use super::*;

    #[test]
    fn a_name_that_nobody_has() {
        // With an empty part between two dots it cannot be a name, so no name server is asked.
        let failure =
            std::net::ToSocketAddrs::to_socket_addrs(&("nosuch..invalid", 1)).unwrap_err();
        let error = format!("cannot resolve nosuch..invalid: {failure}");
        client("--udp --host nosuch..invalid", 12000).fails_with("", &error);
        let output = run(Command::new(SERVER).args(["--host", "nosuch..invalid"]));
        assert_ends(&output, 1, b"", &format!("error: {error}\n"));
    }

    #[test]
    fn bad_usage() {
        let seconds = |value: &str, flag: &str| {
            format!(
                "invalid value '{value}' for '{flag} <SECONDS>': give seconds from 0.001 to 86400, for example 5 or 0.5"
            )
        };
        #[rustfmt::skip]
        let cases = [
            (CLIENT, "", "the following required arguments were not provided:\n  <--udp|--tcp>"),
            (CLIENT, "--udp --tcp", "the argument '--udp' cannot be used with '--tcp'"),
            (CLIENT, "--udp --port 70000", "invalid value '70000' for '--port <PORT>': 70000 is not in 1..=65535"),
            (CLIENT, "--udp --port 0", "invalid value '0' for '--port <PORT>': 0 is not in 1..=65535"),
            (SERVER, "--port 70000", "invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535"),
            (SERVER, "--max-connections 0", "invalid value '0' for '--max-connections <N>': 0 is not in 1..=4096"),
            (SERVER, "--max-connections 4097", "invalid value '4097' for '--max-connections <N>': 4097 is not in 1..=4096"),
            (CLIENT, "-u --timeout 0", &seconds("0", "--timeout")),
            (CLIENT, "-u --timeout nan", &seconds("nan", "--timeout")),
            (CLIENT, "-u --timeout -1", &seconds("-1", "--timeout")),
            (CLIENT, "-u --timeout 1e-10", &seconds("1e-10", "--timeout")),
            (CLIENT, "-u --timeout 1e19", &seconds("1e19", "--timeout")),
            (CLIENT, "-u --timeout 86400.1", &seconds("86400.1", "--timeout")),
            (SERVER, "--idle-timeout 0.0009", &seconds("0.0009", "--idle-timeout")),
        ];
        for (program, flags, expected) in cases {
            let output = run(Command::new(program).args(flags.split_whitespace()));
            let stderr = String::from_utf8(output.stderr).unwrap();
            let told = stderr.split("\n\n").next().unwrap();
            assert_eq!(told, format!("error: {expected}"), "{flags}");
            assert_eq!(
                (output.status.code(), &output.stdout[..]),
                (Some(2), &b""[..])
            );
        }
    }

    #[test]
    fn help_and_version() {
        let readme = include_str!("../README.md").replace("\r\n", "\n");
        for program in [SERVER, CLIENT] {
            let help = String::from_utf8(run(Command::new(program).arg("--help")).stdout).unwrap();
            let help = help.replace(".exe", "");
            assert!(
                readme.contains(&help),
                "the README has not this help text:\n{help}"
            );
            let is_too_wide = help.lines().any(|line| line.chars().count() > 80);
            assert!(!is_too_wide, "wider than a terminal:\n{help}");
            let version = format!("uppercase-echo {}\n", env!("CARGO_PKG_VERSION"));
            assert_ends(
                &run(Command::new(program).arg("--version")),
                0,
                version.as_bytes(),
                "",
            );
        }
    }

    /// All that `--verbose` says of one exchange: the client's lines, and the server's.
    const VERBOSE: [(&str, &[&str], &[&str]); 2] = [
        (
            "--udp",
            &[
                "sent 2 bytes from port CLIENT-PORT to SERVER, try 1",
                "received 2 bytes from SERVER after TIME",
            ],
            &[
                "udp SERVER: received 2 bytes from CLIENT",
                "udp SERVER: sent 2 bytes to CLIENT",
            ],
        ),
        (
            "--tcp",
            &[
                "connected from port CLIENT-PORT to SERVER",
                "sending 2 bytes to SERVER",
                "half-close: no more goes to SERVER",
                "received 2 bytes from SERVER",
                "end of the stream: SERVER has closed its side",
                "closed the connection to SERVER",
            ],
            &[
                "tcp SERVER: the welcoming socket accepted CLIENT: a new connection socket",
                "tcp SERVER: received 2 bytes from CLIENT",
                "tcp SERVER: sent 2 bytes to CLIENT",
                "tcp SERVER: end of the stream: CLIENT has closed its side",
                "tcp SERVER: closed the connection socket of CLIENT",
            ],
        ),
    ];

    #[test]
    fn all_that_verbose_says() {
        for (protocol, client_lines, server_lines) in VERBOSE {
            let server = Server::start(&format!("{protocol} --verbose"));
            let mut client = client(
                &format!("{protocol} --host 127.0.0.1 --verbose"),
                server.port(),
            )
            .spawn();
            client.send("hi");
            assert_eq!(client.close_stdin_and_wait(), Some(0));
            let mut told = client.other_error_lines();
            let port = told[0].split("from port ").nth(1).unwrap();
            let port = port.split(' ').next().unwrap().to_owned();
            let put_names_in = |line: &str| {
                let line = line
                    .replace(&server.address.to_string(), "SERVER")
                    .replace(&format!("127.0.0.1:{port}"), "CLIENT")
                    .replace(&format!("from port {port}"), "from port CLIENT-PORT");
                match line.split_once(" after ") {
                    Some((before, _)) => format!("{before} after TIME"),
                    None => line,
                }
            };
            // The two halves of a pipe tell at the same time.
            told.sort();
            let mut expected = client_lines.to_vec();
            expected.sort_unstable();
            told = told.iter().map(|line| put_names_in(line)).collect();
            told.sort();
            assert_eq!(told, expected);
            for expected in server_lines {
                assert_eq!(put_names_in(&server.program.error_line()), *expected);
            }
            assert!(server.program.killed().is_empty());
        }
    }
}

mod the_documents {
    use std::fs;
    use std::path::Path;

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");

    /// Each "`function` in `file`" of the README's map is there.
    #[test]
    fn the_map_of_the_readme() {
        let readme = include_str!("../README.md");
        let map = readme.lines().filter(|line| line.contains("` in `src/"));
        let mut rows = 0;
        for row in map {
            let mut code = row.split('`').skip(1).step_by(2);
            let function = code.next().unwrap();
            let file = code.next().unwrap();
            let source = fs::read_to_string(Path::new(ROOT).join(file)).expect(file);
            assert!(source.contains(&format!("fn {function}(")), "{row}");
            rows += 1;
        }
        assert_eq!(rows, 17);
    }

    /// A promise of the crate's first page, such as "**It is bounded.**", has tests in modules of this name.
    #[test]
    fn every_promise_has_tests() {
        let mut tests = String::new();
        for entry in fs::read_dir(Path::new(ROOT).join("tests")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
        let page = include_str!("../src/lib.rs");
        let promises = page
            .lines()
            .filter_map(|line| line.strip_prefix("//! - **")?.split("**").next());
        let mut count = 0;
        for promise in promises {
            let name = promise
                .to_lowercase()
                .replace(' ', "_")
                .replace(['.', '\''], "");
            assert!(tests.contains(&format!("mod {name} {{")), "{promise}");
            count += 1;
        }
        assert_eq!(count, 9);
    }
}

mod any_amount_of_input {
    use super::*;

    #[test]
    fn a_line_of_128_megabytes_in_constant_memory() {
        const SIZE: usize = 128 << 20;
        let server = Server::start("--tcp");
        let mut command = Command::new(CLIENT);
        command.args(["--tcp", "-w", "0.6", "--port", &server.port().to_string()]);
        let mut client = Program::spawn_with(&mut command, Stdio::piped(), Stdio::piped());
        let mut stdin = client.stdin.take().unwrap();
        thread::spawn(move || {
            std::io::copy(&mut std::io::repeat(b'a').take(SIZE as u64), &mut stdin)
        });
        // A piece of stdout is read when the one before has been looked at.
        let (sender, pieces) = sync_channel(0);
        let mut stdout = client.child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(size @ 1..) = stdout.read(&mut buffer) {
                sender.send(buffer[..size].to_vec()).unwrap();
            }
        });
        let mut total = 0;
        let (mut early_peak, mut late_peak) = (None, None);
        while let Ok(piece) = pieces.recv_timeout(DEADLINE) {
            if total == 0 {
                // More than twice the timeout: a slow reader is no error, and this delay is the reader's own.
                thread::sleep(Duration::from_millis(1300));
            }
            assert!(piece.iter().all(|&byte| byte == b'A'));
            total += piece.len();
            if total > SIZE / 8 && early_peak.is_none() {
                early_peak = kilobytes(&client.child, "VmHWM:");
            }
            if total > SIZE - SIZE / 16 && late_peak.is_none() {
                late_peak = kilobytes(&client.child, "VmHWM:");
            }
        }
        assert_eq!((total, client.status()), (SIZE, Some(0)));
        assert!(client.other_error_lines().is_empty());
        if let (Some(early), Some(late)) = (early_peak, late_peak) {
            // Between the two came 104 MiB.
            assert!(late < early + 20_000, "grown from {early} to {late} kB");
        }
    }
}

#[cfg(unix)]
mod on_unix {
    use super::*;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    mod the_client_ends {
        use super::*;

        #[test]
        fn an_unreadable_stdin() {
            let server = Server::start("");
            let failure = File::open(".").unwrap().read(&mut [0]).unwrap_err();
            for protocol in PROTOCOLS {
                let client = client(protocol, server.port()).input_from(File::open(".").unwrap());
                client.fails_with("", &format!("cannot read stdin: {failure}"));
            }
        }

        #[test]
        fn an_endless_line_is_not_read_to_its_end() {
            let server = Server::start("--udp");
            let client =
                client("--udp", server.port()).input_from(File::open("/dev/zero").unwrap());
            client.fails_with("", &format!("line 1 {TOO_LONG}"));
        }

        #[test]
        fn a_socket_as_stdout_whose_reader_leaves_something_unread() {
            let server = Server::start("");
            for protocol in PROTOCOLS {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let stdout = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (reader, _) = listener.accept().unwrap();
                common::set_deadline(&reader);
                let mut client = Command::new(CLIENT);
                client.args([protocol, "--port", &server.port().to_string()]);
                let stdout = OwnedFd::from(stdout).into();
                let mut program = Program::spawn_with(&mut client, stdout, Stdio::piped());
                // It holds the other end of the connection, too.
                drop(client);
                program.send("one\n");
                assert_eq!(reader.peek(&mut [0]).unwrap(), 1);
                drop(reader);
                program.flood("more\n");
                assert_eq!(program.status(), Some(0));
                assert!(program.other_error_lines().is_empty());
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    mod answers_belong_to_their_lines {
        use super::*;

        #[test]
        fn no_port_is_used_again_for_64_lines() {
            // There are as many ports as that, and one more.
            let script = format!(
                "coproc '{SERVER}' --udp --verbose --host 127.0.0.1 --port 30000; read -u ${{COPROC[0]}}; \
                 seq 200 | '{CLIENT}' --udp --host 127.0.0.1 --port 30000"
            );
            let Some(mut command) = common::in_a_namespace("", "40000 40064", &script) else {
                return;
            };
            let output = run(&mut command);
            assert_eq!(output.status.code(), Some(0));
            let told = String::from_utf8(output.stderr).unwrap();
            let received = told.lines().filter(|line| line.contains(": received "));
            let mut ports: Vec<_> = received
                .filter_map(|line| line.rsplit(':').next())
                .collect();
            // A line that was sent twice came from one port.
            ports.dedup();
            assert_eq!(ports.len(), 200);
            for ports in ports.windows(65) {
                assert!(!ports[..64].contains(&ports[64]), "{ports:?}");
            }
        }
    }

    mod the_client_ends {
        use super::*;

        #[test]
        fn a_full_disk() {
            let server = Server::start("");
            let full = || File::options().write(true).open("/dev/full").unwrap();
            let failure = full().write(b"x").unwrap_err();
            for protocol in PROTOCOLS {
                let client = client(protocol, server.port())
                    .input("hi\n")
                    .output_to(full());
                client.fails_with("", &format!("cannot write to stdout: {failure}"));
            }
        }

        #[test]
        fn a_server_on_another_machine() {
            let unreachable = std::io::Error::from_raw_os_error(101);
            #[rustfmt::skip]
            let cases = [
                ("udp", "10.0.0.1", "nothing is listening on udp 10.0.0.1:40000".to_owned()),
                ("tcp", "10.0.0.1", "nothing is listening on tcp 10.0.0.1:40000".to_owned()),
                ("udp", "10.0.0.9", format!("cannot talk to udp 10.0.0.9:40000: {unreachable}")),
                ("tcp", "10.0.0.9", format!("cannot connect to tcp 10.0.0.9:40000: {unreachable}")),
            ];
            for (protocol, host, error) in cases {
                let script = format!(
                    "ip address add 10.0.0.1/32 dev lo; \
                     echo x | '{CLIENT}' --{protocol} --host {host} --port 40000"
                );
                let Some(mut client) = common::in_a_namespace("", "41000 42000", &script) else {
                    return;
                };
                assert_ends(&run(&mut client), 1, b"", &format!("error: {error}\n"));
            }
        }

        #[test]
        fn a_connection_to_itself_is_nobody() {
            // The only free port is the one that is asked.
            let there = common::loopback_ips();
            for host in ["127.0.0.1", "0.0.0.0", "::", "0"] {
                if host == "::" && !there.contains(&"::1") {
                    continue;
                }
                let script = format!("echo hello | '{CLIENT}' --tcp --host {host} --port 40000");
                let server = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.to_owned()
                };
                let error = format!(
                    "error: nothing is listening on tcp {server}:40000; start it with: server --tcp --host {host} --port 40000\n"
                );
                let Some(mut client) = common::in_a_namespace("", "40000 40000", &script) else {
                    return;
                };
                assert_ends(&run(&mut client), 1, b"", &error);
            }
        }

        #[test]
        fn a_udp_client_on_the_port_that_it_asks_is_nobody() {
            // Of the two free ports, one is asked: about half of the clients get that one first.
            let ask = format!("echo hello | '{CLIENT}' --udp --port 40000 --host 127.0.0.1");
            let script = format!("set +e; for _ in 1 2 3 4 5 6 7 8 9 10; do {ask}; done");
            let error = "error: nothing is listening on udp 127.0.0.1:40000; start it with: server --udp --host 127.0.0.1 --port 40000\n";
            if let Some(mut clients) = common::in_a_namespace("", "40000 40001", &script) {
                assert_ends(&run(&mut clients), 1, b"", &error.repeat(10));
            }
        }
    }
}
