//! What the programs accept and what they print: flags, help, versions, `--verbose`, and the
//! documents about them.

mod common;

use common::fakes::{ask, connect, exchange, udp};
use common::programs::{CLIENT, PROTOCOLS, Run, SERVER, Server, client, server};
use std::fs;
use std::path::Path;

/// The program says this first, then its usage, and ends with 2.
#[track_caller]
fn refuses(program: &str, flags: &str, error: &str) {
    let mut program = Run::new(program, flags).start();
    let stderr = String::from_utf8(program.stderr.rest()).unwrap();
    let first_part = stderr.split("\n\n").next().unwrap();
    assert_eq!(first_part, format!("error: {error}"), "{flags}");
    program.ends(2, "", "");
}

#[test]
fn exactly_one_protocol_for_a_client() {
    let missing = "the following required arguments were not provided:\n  <--udp|--tcp>";
    refuses(CLIENT, "", missing);
    let both = "the argument '--udp' cannot be used with '--tcp'";
    refuses(CLIENT, "--udp --tcp", both);
}

#[test]
fn numbers_out_of_range() {
    let refuses = |program, flags: &str, flag: &str, range: &str| {
        let number = flags.rsplit(' ').next().unwrap();
        let error = format!("invalid value '{number}' for '{flag}': {number} is not in {range}");
        refuses(program, flags, &error);
    };
    refuses(CLIENT, "-u --port 0", "--port <PORT>", "1..=65535");
    refuses(CLIENT, "-u --port 65536", "--port <PORT>", "1..=65535");
    refuses(SERVER, "--port 65536", "--port <PORT>", "0..=65535");
    let connections = "--max-connections <N>";
    refuses(SERVER, "--max-connections 0", connections, "1..=4096");
    refuses(SERVER, "--max-connections 4097", connections, "1..=4096");
}

#[test]
fn seconds_from_a_thousandth_to_a_day() {
    let refuses = |program, flag: &str, seconds: &str| {
        let error = format!(
            "invalid value '{seconds}' for '{flag} <SECONDS>': \
             give seconds from 0.001 to 86400, for example 5 or 0.5"
        );
        refuses(program, &format!("--udp {flag}={seconds}"), &error);
    };
    for seconds in ["0", "0.0009", "86400.1", "-1", "nan", "inf", "x"] {
        refuses(CLIENT, "--timeout", seconds);
        refuses(SERVER, "--idle-timeout", seconds);
    }
    let server = Server::start("--idle-timeout 0.001");
    assert_eq!(ask(&udp("127.0.0.1"), server.address, b"x"), b"X");
    let patient = client("--udp --timeout 86400", server.port()).input("x");
    patient.prints("X");
}

#[test]
fn short_flags() {
    let server = Server::ready(server("-u -t -p 0 --host 127.0.0.1 --max-connections 4").start());
    exchange(&connect(server.address), "x");
    let port = server.port();
    for protocol in ["-u", "-t"] {
        let flags = format!("{protocol} -w 5 -p {port}");
        Run::new(CLIENT, &flags).input("x").prints("X");
    }
}

#[test]
fn versions() {
    for (program, name) in [(SERVER, "server"), (CLIENT, "client")] {
        let version = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        Run::new(program, "--version").prints(&version);
        Run::new(program, "-V").prints(&version);
    }
}

#[test]
fn the_readme_has_the_help_texts() {
    let readme = include_str!("../README.md").replace("\r\n", "\n");
    for program in [SERVER, CLIENT] {
        let help = Run::new(program, "--help").start().stdout.rest();
        let help = String::from_utf8(help).unwrap().replace(".exe", "");
        assert!(readme.contains(&help), "not in README.md:\n{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "wider than a terminal:\n{help}");
    }
}

/// Each "`function` in `file`" of the guide's map is there.
#[test]
fn the_guides_map() {
    let map = include_str!("../src/guide/map.md");
    let mut functions = 0;
    for (position, _) in map.match_indices("` in `src/") {
        let function = map[..position].rsplit('`').next().unwrap();
        let file = map[position + "` in `".len()..].split('`').next().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = fs::read_to_string(path).expect(file);
        let is_there = source.contains(&format!("fn {function}("));
        assert!(is_there, "`{function}` is not in `{file}`");
        functions += 1;
    }
    assert!(functions > 0);
}

/// Checks all that both programs say of one exchange with `--verbose`.
struct Verbose {
    protocol: &'static str,
    /// Sorted: over TCP, the two threads of a client speak at the same time.
    client: &'static [&'static str],
    server: &'static [&'static str],
}

impl Verbose {
    fn check(&self) {
        let mut server = Server::start(&format!("--{} --verbose", self.protocol));
        let flags = format!("--{} --verbose --host 127.0.0.1", self.protocol);
        let mut client = client(&flags, server.port()).input("ŉx").start_with_input();
        let stderr = String::from_utf8(client.stderr.rest()).unwrap();
        client.ends(0, "ʼNX", "");

        let port = stderr.split(' ').nth(3).expect(&stderr);
        let put_names_in = |line: &str| {
            line.replace(&format!("127.0.0.1:{}", server.address.port()), "SERVER")
                .replace(&format!("127.0.0.1:{port}"), "CLIENT")
                .replace(&format!("port {port}"), "port PORT")
        };
        let mut lines: Vec<_> = stderr.lines().map(put_names_in).collect();
        lines.sort();
        lines.dedup(); // on a busy machine, a datagram may be sent twice
        assert_eq!(lines, self.client);
        for expected in self.server {
            let line = server.program.stderr.line();
            assert_eq!(put_names_in(&line), *expected);
        }
    }
}

#[test]
fn verbose_udp() {
    Verbose {
        protocol: "udp",
        client: &[
            "connected from port PORT to SERVER",
            "received 4 bytes from SERVER",
            "sending 3 bytes to SERVER",
        ],
        server: &[
            "udp SERVER: received 3 bytes from CLIENT",
            "udp SERVER: sending 4 bytes to CLIENT",
        ],
    }
    .check();
}

#[test]
fn verbose_tcp() {
    Verbose {
        protocol: "tcp",
        client: &[
            "connected from port PORT to SERVER",
            "end of the stream from SERVER",
            "half-close: no more goes to SERVER",
            "received 4 bytes from SERVER",
            "sending 3 bytes to SERVER",
        ],
        server: &[
            "tcp SERVER: the welcoming socket accepted CLIENT: a new connection socket",
            "tcp SERVER: received 3 bytes from CLIENT",
            "tcp SERVER: sending 4 bytes to CLIENT",
            "tcp SERVER: end of the stream from CLIENT",
            "tcp SERVER: closed the connection to CLIENT",
        ],
    }
    .check();
}

#[test]
fn nothing_is_said_without_verbose() {
    let mut server = Server::start("");
    for protocol in PROTOCOLS {
        client(protocol, server.port()).input("x").prints("X");
    }
    server.program.child.kill().unwrap();
    assert_eq!(server.program.stderr.rest(), b"");
}
