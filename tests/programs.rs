//! The two programs together, as a user runs them.

mod common;

use common::{Program, Server, check, client, retry, run};
use std::io::{Error, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output};

const PROTOCOLS: [&str; 2] = ["--udp", "--tcp"];

#[test]
fn main_job() {
    for protocol in PROTOCOLS {
        let server = Server::start(&[protocol]);
        let output = run(
            &mut client(&[protocol, "--host", "localhost"], server.address.port()),
            "hello, straße\n",
        );
        check(&output, 0, b"HELLO, STRASSE\n", "");
    }
}

#[test]
fn every_byte_of_stdin() {
    let server = Server::start(&[]);
    let cases: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"\n", b"\n"),
        (b"no newline", b"NO NEWLINE"),
        (b"a\n\n\nb", b"A\n\n\nB"),
        (b"cr\r\nlf\n", b"CR\r\nLF\n"),
        (b"\xFF\xFEx\xC3\n\xA9\n", b"\xFF\xFEX\xC3\n\xA9\n"),
        (b"nul\0\n", b"NUL\0\n"),
    ];
    for protocol in PROTOCOLS {
        for (input, expected) in cases {
            check(
                &run(&mut client(&[protocol], server.address.port()), *input),
                0,
                expected,
                "",
            );
        }
    }
}

#[test]
fn both_protocols_on_one_port() {
    let server = Server::start(&[]);
    let port = server.address.port();
    assert_eq!(
        server.program.line(),
        format!("The server is ready to receive on tcp 127.0.0.1:{port}")
    );
    for protocol in PROTOCOLS {
        check(&run(&mut client(&[protocol], port), "x"), 0, b"X", "");
    }
}

/// Runs a client at a pseudo-terminal, types `input`, and returns what the terminal and its exit status show.
fn at_a_terminal(command: &str, input: &str) -> Option<(String, i32)> {
    if Command::new("script").arg("--version").output().is_err() {
        println!("passed over: there is no `script` here");
        return None;
    }
    let mut script = Command::new("script");
    script.args(["-qec", command, "/dev/null"]);
    let output = run(&mut script, input);
    Some((
        String::from_utf8(output.stdout).unwrap().replace('\r', ""),
        output.status.code().unwrap(),
    ))
}

#[test]
fn prompt_at_a_terminal() {
    const PROMPT: &str = "Input lowercase sentence: ";
    let server = Server::start(&[]);
    for protocol in PROTOCOLS {
        let command = format!(
            "{} {protocol} --port {}",
            env!("CARGO_BIN_EXE_client"),
            server.address.port()
        );
        // The last character is Ctrl-D; the terminal echoes what is typed, before or after the prompt.
        let Some((screen, status)) = at_a_terminal(&command, "hello, straße\n\n\x04") else {
            return;
        };
        assert_eq!(status, 0);
        assert_eq!(screen.matches(PROMPT).count(), 3, "{screen}");
        assert_eq!(screen.matches("HELLO, STRASSE\n").count(), 1, "{screen}");
        assert!(screen.ends_with('\n'), "{screen}");
    }
}

#[test]
fn a_failed_udp_line_at_a_terminal_is_not_the_end() {
    // Nothing listens on the port while the socket that had it is closed.
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let command = format!("{} --udp --port {port}", env!("CARGO_BIN_EXE_client"));
    let Some((screen, status)) = at_a_terminal(&command, "one\ntwo\n\x04") else {
        return;
    };
    let expected = format!(
        "error: nothing is listening on udp localhost:{port}; start it with: server --udp --port {port}\n"
    );
    assert_eq!(screen.matches(&expected).count(), 2, "{screen}");
    assert_eq!(status, 1);
}

#[test]
fn a_line_after_each_hang_up_at_a_terminal() {
    use std::io::Read;
    let port = common::fake_tcp(|mut stream| {
        let mut sentence = [0; 1024];
        let size = retry(|| stream.read(&mut sentence));
        stream
            .write_all(&sentence[..size].to_ascii_uppercase())
            .unwrap();
    });
    let command = format!("{} --tcp --port {port}", env!("CARGO_BIN_EXE_client"));
    let Some((screen, status)) = at_a_terminal(&command, "one\ntwo\nthree\n\x04") else {
        return;
    };
    for answer in ["ONE\n", "TWO\n", "THREE\n"] {
        assert!(screen.contains(answer), "{screen}");
    }
    assert_eq!(status, 0, "{screen}");

    let port = common::fake_tcp(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"ON").unwrap();
    });
    let command = format!("{} --tcp --port {port}", env!("CARGO_BIN_EXE_client"));
    let Some((screen, status)) = at_a_terminal(&command, "one\n") else {
        return;
    };
    let expected =
        format!("error: tcp localhost:{port} closed the connection before answering everything\n");
    assert!(screen.ends_with(&expected), "{screen}");
    assert_eq!(status, 1);
}

fn server(flags: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_server")).args(flags), "")
}

#[test]
fn port_taken() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    for (flag, protocol, address) in [
        ("-u", "udp", udp.local_addr().unwrap()),
        ("-t", "tcp", tcp.local_addr().unwrap()),
    ] {
        let taken = match protocol {
            "udp" => UdpSocket::bind(address).unwrap_err(),
            _ => TcpListener::bind(address).unwrap_err(),
        };
        let output = server(&[
            flag,
            "--host",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
        ]);
        check(
            &output,
            1,
            b"",
            &format!("error: cannot listen on {protocol} {address}: {taken}\n"),
        );
        // Nor does it serve the one protocol where it can't serve both.
        let output = server(&["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        check(
            &output,
            1,
            b"",
            &format!("error: cannot listen on {protocol} {address}: {taken}\n"),
        );
    }
}

#[test]
fn no_address_of_this_machine() {
    let failure: Error = UdpSocket::bind("192.0.2.1:0").unwrap_err();
    let output = server(&["--udp", "--host", "192.0.2.1", "--port", "12000"]);
    check(
        &output,
        1,
        b"",
        &format!("error: cannot listen on udp 192.0.2.1:12000: {failure}\n"),
    );
}

#[test]
fn unknown_host() {
    let failure = std::net::ToSocketAddrs::to_socket_addrs(&("nosuch.invalid", 1)).unwrap_err();
    let expected = format!("error: cannot resolve nosuch.invalid: {failure}\n");
    check(&server(&["--host", "nosuch.invalid"]), 1, b"", &expected);
    check(
        &run(
            &mut client(&["--udp", "--host", "nosuch.invalid"], 12000),
            "x",
        ),
        1,
        b"",
        &expected,
    );
}

#[test]
fn bad_usage() {
    let seconds = "give seconds from 0.001 to 86400, for example 5 or 0.5";
    for (program, flags, expected) in [
        (
            "client",
            &[][..],
            "the following required arguments were not provided:\n  <--udp|--tcp>",
        ),
        (
            "client",
            &["--udp", "--tcp"],
            "the argument '--udp' cannot be used with '--tcp'",
        ),
        (
            "client",
            &["--udp", "--port", "70000"],
            "invalid value '70000' for '--port <PORT>': 70000 is not in 1..=65535",
        ),
        (
            "client",
            &["--udp", "--port", "0"],
            "invalid value '0' for '--port <PORT>': 0 is not in 1..=65535",
        ),
        (
            "server",
            &["--port", "70000"],
            "invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535",
        ),
        (
            "server",
            &["--max-connections", "0"],
            "invalid value '0' for '--max-connections <N>': 0 is not in 1..=4096",
        ),
        ("client", &["-u", "--timeout", "0"], seconds),
        ("client", &["-u", "--timeout", "nan"], seconds),
        ("client", &["-u", "--timeout", "-1"], seconds),
        ("client", &["-u", "--timeout", "1e-10"], seconds),
        ("client", &["-u", "--timeout", "1e19"], seconds),
        ("server", &["--idle-timeout", "0"], seconds),
    ] {
        let path = if program == "server" {
            env!("CARGO_BIN_EXE_server")
        } else {
            env!("CARGO_BIN_EXE_client")
        };
        let output = run(Command::new(path).args(flags), "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("error: ") && stderr.contains(expected),
            "{program} {flags:?}: {stderr}"
        );
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(2), &b""[..])
        );
    }
}

#[test]
fn closed_ports() {
    let ((_socket, udp), (_sockets, tcp)) = (common::closed_udp(), common::closed_tcp());
    for (protocol, port) in [("udp", udp), ("tcp", tcp)] {
        let output = run(&mut client(&[&format!("--{protocol}")], port), "x");
        let start_it = format!("start it with: server --{protocol} --port {port}");
        check(
            &output,
            1,
            b"",
            &format!("error: nothing is listening on {protocol} localhost:{port}; {start_it}\n"),
        );
    }
}

#[test]
fn help_and_version() {
    let readme = include_str!("../README.md");
    for path in [env!("CARGO_BIN_EXE_server"), env!("CARGO_BIN_EXE_client")] {
        let help = String::from_utf8(run(Command::new(path).arg("--help"), "").stdout).unwrap();
        assert!(
            readme.contains(&help),
            "the README's help text is not the program's:\n{help}"
        );
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "wider than a terminal:\n{help}"
        );
        let version = run(Command::new(path).arg("--version"), "").stdout;
        assert_eq!(
            version,
            format!("uppercase-echo {}\n", env!("CARGO_PKG_VERSION")).as_bytes()
        );
    }
}

#[test]
fn verbose() {
    for protocol in PROTOCOLS {
        let mut server = Server::start(&[protocol, "--verbose"]);
        let output = run(
            &mut client(&[protocol, "--verbose"], server.address.port()),
            "hi\n",
        );
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(0), &b"HI\n"[..])
        );
        let note = String::from_utf8(output.stderr).unwrap();
        assert!(note.contains(&server.address.to_string()), "{note}");
        let event = server
            .program
            .stderr
            .recv_timeout(common::DEADLINE)
            .unwrap();
        assert!(
            event.starts_with(&format!("{} {}: ", &protocol[2..], server.address)),
            "{event}"
        );
        server.program.child.kill().unwrap();
    }
}

#[test]
fn the_reader_of_stdout_leaves() {
    let server = Server::start(&[]);
    for protocol in PROTOCOLS {
        let client = format!(
            "{} {protocol} --port {}",
            env!("CARGO_BIN_EXE_client"),
            server.address.port()
        );
        let mut shell = Command::new("bash");
        let output = run(
            shell.args([
                "-c",
                &format!("yes | {client} | head -1; exit ${{PIPESTATUS[1]}}"),
            ]),
            "",
        );
        check(&output, 0, b"Y\n", "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk() {
    let server = Server::start(&[]);
    let failure = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .write(b"x")
        .unwrap_err();
    for protocol in PROTOCOLS {
        let client = format!(
            "{} {protocol} --port {}",
            env!("CARGO_BIN_EXE_client"),
            server.address.port()
        );
        let output = run(
            Command::new("sh").args(["-c", &format!("echo hi | {client} >/dev/full")]),
            "",
        );
        check(
            &output,
            1,
            b"",
            &format!("error: cannot write to stdout: {failure}\n"),
        );
    }
}

#[test]
fn lines_that_do_not_fit_in_a_datagram() {
    let server = Server::start(&["--udp"]);
    let port = server.address.port();
    let tail = "longer than 65507 bytes, the most a UDP datagram carries; use --tcp\n";
    let fits = "x".repeat(65507);
    check(
        &run(&mut client(&["-u"], port), format!("{fits}\n")),
        0,
        format!("{}\n", fits.to_uppercase()).as_bytes(),
        "",
    );
    let output = run(&mut client(&["-u"], port), format!("a\nb\n{fits}x\n"));
    check(&output, 1, b"A\nB\n", &format!("error: line 3 is {tail}"));
    let output = run(&mut client(&["-u"], port), "\u{390}".repeat(30000));
    check(
        &output,
        1,
        b"",
        &format!("error: the upper case of line 1 is {tail}"),
    );
    // A line without an end: no more of it is read than is needed to know.
    let mut endless = client(&["-u"], port);
    let client = endless
        .stdin(std::fs::File::open("/dev/zero").unwrap())
        .output()
        .unwrap();
    check(&client, 1, b"", &format!("error: line 1 is {tail}"));
}

#[test]
fn a_line_of_100_megabytes() {
    let server = Server::start(&["--tcp"]);
    let output = run(
        &mut client(&["--tcp"], server.address.port()),
        vec![b'a'; 100_000_000],
    );
    assert!(output.stdout.len() == 100_000_000 && output.stdout.iter().all(|&byte| byte == b'A'));
    check(
        &Output {
            stdout: Vec::new(),
            ..output
        },
        0,
        b"",
        "",
    );
}

#[test]
fn a_slow_producer_is_no_error() {
    let server = Server::start(&["--tcp"]);
    let mut session = Program::spawn(&mut client(
        &["--tcp", "--timeout", "0.05"],
        server.address.port(),
    ));
    // Three waits and more pass before each line: this delay is the fake producer's own.
    for (line, answer) in [("one\n", "ONE"), ("two\n", "TWO")] {
        std::thread::sleep(std::time::Duration::from_millis(200));
        session
            .child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        assert_eq!(session.line(), answer);
    }
    assert_eq!(session.wait(), 0);
}

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
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = std::fs::read_to_string(path).expect(file);
        assert!(source.contains(&format!("fn {function}(")), "{row}");
        rows += 1;
    }
    assert!(rows >= 16, "{rows} rows");
}
