//! The client at a terminal, where it prompts and asks line by line.
//!
//! Promise: the client ends.

// Elsewhere `script`, which makes a terminal, has other flags or is not there.
#![cfg(target_os = "linux")]

mod common;

use common::Step::{self, ReadOnce, Say, Stay};
use common::{
    CLIENT, CLOSED, DEADLINE, MORE, NOBODY, PROTOCOLS, SaysMore, Server, closed_udp, error_line,
    fake_udp, scripted_tcp,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

const PROMPT: &str = "Input lowercase sentence: ";

/// A client at a terminal of its own.
struct Terminal {
    script: Child,
    output: Receiver<Vec<u8>>,
    screen: String,
    /// The protocol and the port, for errors.
    server: (&'static str, u16),
}

/// A client at a terminal that does not echo what is typed, or `None` and a visible word if there can't be one.
fn terminal(flags: &'static str, port: u16) -> Option<Terminal> {
    terminal_with("", flags, port)
}

/// The same, after the shell's command `before`.
fn terminal_with(before: &str, flags: &'static str, port: u16) -> Option<Terminal> {
    if !common::has("script") {
        return None;
    }
    let help = Command::new("script").arg("--help").output().unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("--echo") {
        common::skip("the `script` here cannot turn the echo off");
        return None;
    }
    let command = format!("{before} '{CLIENT}' {flags} --port {port}");
    let mut script = Command::new("script");
    script.args(["-qe", "--echo", "never", "-c", &command, "/dev/null"]);
    // The user's own shell may have another language.
    script.env("SHELL", "/bin/sh").env("LC_ALL", common::LOCALE);
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap();
    let mut pipe = script.stdout.take().unwrap();
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 1000];
        while let Ok(size @ 1..) = pipe.read(&mut buffer) {
            let _ = sender.send(buffer[..size].to_vec());
        }
    });
    Some(Terminal {
        script,
        output,
        screen: String::new(),
        server: (&flags[2..5], port),
    })
}

impl Terminal {
    fn types(&mut self, text: &str) {
        self.script
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// Waits until the screen ends with `text`.
    #[track_caller]
    fn waits_for(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.shown().ends_with(text) {
            let time_left = end.saturating_duration_since(Instant::now());
            let Ok(output) = self.output.recv_timeout(time_left) else {
                panic!("the screen is: {}", self.shown());
            };
            self.screen += std::str::from_utf8(&output).unwrap();
        }
    }

    /// The screen, with `>` for each prompt.
    fn shown(&self) -> String {
        self.screen.replace("\r\n", "\n").replace(PROMPT, ">")
    }

    /// Checks its whole screen, with `>` for each prompt, and its exit status.
    #[track_caller]
    fn ends(mut self, status: i32, screen: &str) {
        while let Ok(output) = self.output.recv_timeout(DEADLINE) {
            self.screen += std::str::from_utf8(&output).unwrap();
        }
        assert_eq!(self.shown(), screen);
        let end = common::wait(&mut self.script).expect("an end");
        assert_eq!(end.code(), Some(status));
    }

    /// The same, and behind `screen` stands an error.
    #[track_caller]
    fn fails_with(self, screen: &str, error: &str) {
        let (protocol, port) = self.server;
        let error = error_line(error, protocol, "localhost", port);
        self.ends(1, &format!("{screen}{error}\n"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

mod the_client_ends {
    use super::*;

    #[test]
    fn prompts_until_ctrl_d() {
        let server = Server::start("");
        for protocol in PROTOCOLS {
            let Some(mut terminal) = terminal(protocol, server.port()) else {
                return;
            };
            terminal.types("hello, straße\n\n\x04");
            terminal.ends(0, ">HELLO, STRASSE\n>\n>\n");
        }
    }

    #[test]
    fn a_line_that_ctrl_d_ends_is_the_last() {
        let server = Server::start("");
        for protocol in PROTOCOLS {
            let Some(mut terminal) = terminal(protocol, server.port()) else {
                return;
            };
            // The first hands over what is typed, the second is the end.
            terminal.types("no newline\x04\x04");
            terminal.ends(0, ">NO NEWLINE\n");
        }
    }

    #[test]
    fn a_windows_consoles_line_ends() {
        // The server gets the bare sentence.
        let udp = fake_udp(|socket, message, peer| {
            let answer = [b"[", message, b"]"].concat();
            socket.send_to(&answer, peer).unwrap();
        });
        let tcp = common::fake_tcp(|stream| {
            common::assert_answer(&stream, "cr\n");
            (&stream).write_all(b"[cr]\n").unwrap();
            common::assert_answer(&stream, "\n");
            (&stream).write_all(b"[]\n").unwrap();
        });
        for (protocol, port) in [("--udp", udp), ("--tcp", tcp)] {
            // The terminal passes on what is typed as it is.
            let Some(mut terminal) = terminal_with("stty -icrnl; echo ready;", protocol, port)
            else {
                return;
            };
            terminal.waits_for("ready\n>");
            terminal.types("cr\r\n\r\n\x04");
            terminal.ends(0, "ready\n>[cr]\r\n>[]\r\n>\n");
        }
    }

    #[test]
    fn tcp_servers() {
        // (the server's steps for each connection, flags, what is typed, screen, error; `""` if all was answered). All that
        // counts as an answer is in tests/tcp_ask.rs.
        #[rustfmt::skip]
        let cases: &[(&[Step], &str, &str, &str, &str)] = &[
            (&[ReadOnce, Say("ANSWER\n")], "--tcp", "one\ntwo\nthree\n\x04", ">ANSWER\n>ANSWER\n>ANSWER\n>\n", ""),
            (&[ReadOnce, Say("ANSWER\n"), Stay], "--tcp", "one\n\x04", ">ANSWER\n>\n", ""),
            (&[ReadOnce], "--tcp", "one\n", ">", CLOSED),
            (&[ReadOnce, Say("ON"), Stay], "--tcp -w 0.4", "one\n", ">", "no answer from SERVER within 0.4 s"),
            (&[ReadOnce, Say("ONE\nM"), Stay], "--tcp", "one\n", ">", MORE),
        ];
        for &(steps, flags, typed, screen, error) in cases {
            let Some(mut terminal) = terminal(flags, scripted_tcp(steps)) else {
                return;
            };
            terminal.types(typed);
            match error {
                "" => terminal.ends(0, screen),
                _ => terminal.fails_with(screen, error),
            }
        }
    }

    #[test]
    fn a_failed_udp_line_is_not_the_end() {
        let (_kept, closed) = closed_udp();
        let miserly = fake_udp(|socket, message, peer| {
            let answer = message.to_ascii_uppercase();
            socket
                .send_to(&answer[..answer.len().min(4)], peer)
                .unwrap();
        });
        let silent = fake_udp(|_, _, _| {});
        let closed = closed.port();
        let nobody = error_line(NOBODY, "udp", "localhost", closed);
        let no_answer = error_line(
            "no answer from SERVER within 0.3 s",
            "udp",
            "localhost",
            silent,
        );
        #[rustfmt::skip]
        let cases = [
            ("--udp", closed, "one\ntwo\n\x04", format!(">{nobody}\n>{nobody}\n>\n")),
            ("--udp", miserly, "one\nthree\nfour\n\x04", ">ONE\n>error: the answer to line 2 was cut to 4 bytes; use --tcp\n>FOUR\n>\n".to_owned()),
            ("--udp -w 0.3", silent, "one\n\x04", format!(">{no_answer}\n>\n")),
        ];
        for (flags, port, typed, screen) in cases {
            let Some(mut terminal) = terminal(flags, port) else {
                return;
            };
            terminal.types(typed);
            terminal.ends(1, &screen);
        }
    }

    #[test]
    fn what_comes_between_two_lines_is_an_error() {
        for typed in ["two\n", "\x04"] {
            let server = SaysMore::start();
            let Some(mut terminal) = terminal("--tcp", server.port) else {
                return;
            };
            terminal.types("one\n");
            terminal.waits_for("ONE\n>");
            let _kept = server.say_more();
            terminal.types(typed);
            let line_end = if typed == "\x04" { "\n" } else { "" };
            terminal.fails_with(&format!(">ONE\n>{line_end}"), MORE);
        }
    }

    #[test]
    fn connecting_again_is_refused() {
        let (port, kept) = common::accept_once();
        let Some(mut terminal) = terminal("--tcp", port) else {
            return;
        };
        terminal.types("one\n");
        terminal.waits_for("ONE\n>");
        let _kept = kept.recv_timeout(DEADLINE).unwrap();
        terminal.types("two\n");
        terminal.fails_with(">ONE\n>", NOBODY);
    }

    #[test]
    fn connecting_again_takes_too_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let Some(mut terminal) = terminal("--tcp -w 0.5", address.port()) else {
            return;
        };
        let (stream, _) = listener.accept().unwrap();
        let _kept = common::fill_backlog(&listener);
        // Only now does the first connection end.
        drop(stream);
        terminal.types("one\n");
        terminal.fails_with(">", "cannot connect to SERVER within 0.5 s");
    }

    #[test]
    fn only_answers_go_to_stdout() {
        let server = Server::start("");
        for protocol in PROTOCOLS {
            // stdout goes elsewhere: what is on the screen is stderr.
            let Some(mut terminal) = terminal_with("exec >/dev/null;", protocol, server.port())
            else {
                return;
            };
            terminal.types("hello\n\x04");
            terminal.ends(0, ">>\n");
        }
    }
}
