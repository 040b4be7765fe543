//! The client at a terminal, where it prompts and asks line by line.

// Elsewhere `script`, which makes a terminal, has other flags or is not there.
#![cfg(target_os = "linux")]

mod common;

use common::fakes::Step::{ReadOnce, Say};
use common::fakes::{closed_tcp, fake_udp, scripted_tcp};
use common::programs::{PROTOCOLS, Program, Run, Server};
use common::system::can;

const PROMPT: &str = "Input lowercase sentence: ";

/// A client at a terminal of its own, which does not echo what is typed.
struct Terminal(Program);

/// Starts a client there. `None`, after a word about it, where there can be no terminal.
fn terminal(flags: &str, port: u16) -> Option<Terminal> {
    let in_terminal = |command: &str| {
        let mut run = Run::new(
            "script",
            "--quiet --return --echo never /dev/null --command",
        );
        // The user's own shell may have another language.
        run.command.arg(command).env("SHELL", "/bin/sh");
        run
    };
    let client = format!("\"$client\" {flags} --port {port}");
    can(&mut in_terminal("test -t 0").command).then(|| Terminal(in_terminal(&client).start()))
}

impl Terminal {
    fn types(&mut self, text: &str) {
        self.0.send(text);
    }

    /// Checks its whole screen, with `>` for each prompt, and its exit status.
    #[track_caller]
    fn ends(mut self, status: i32, screen: &str) {
        let shown = String::from_utf8(self.0.stdout.rest()).unwrap();
        let shown = shown.replace("\r\n", "\n").replace(PROMPT, ">");
        assert_eq!(shown, screen);
        self.0.ends(status, "", "");
    }
}

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
fn only_answers_go_to_stdout() {
    let server = Server::start("");
    for protocol in PROTOCOLS {
        let flags = format!("{protocol} >/dev/null");
        let Some(mut terminal) = terminal(&flags, server.port()) else {
            return;
        };
        terminal.types("hello\n\x04");
        terminal.ends(0, ">>\n");
    }
}

#[test]
fn a_failed_udp_line_is_not_the_end() {
    let server = fake_udp(|socket, sentence, peer| {
        let size = sentence.len().min(4);
        socket.send_to(&sentence[..size], peer).unwrap();
    });
    let Some(mut terminal) = terminal("--udp", server.port()) else {
        return;
    };
    terminal.types("one\nthree\nfour\n\x04");
    let error = "error: line 2: the answer was cut to 4 bytes; use --tcp";
    terminal.ends(1, &format!(">one\n>{error}\n>four\n>\n"));
}

#[test]
fn a_closed_tcp_port_is_the_end() {
    let (_kept, closed) = closed_tcp();
    let port = closed.port();
    let Some(terminal) = terminal("--tcp", port) else {
        return;
    };
    let error = format!(
        "error: nothing is listening on tcp localhost:{port}; \
         start it with: server --tcp --port {port}"
    );
    terminal.ends(1, &format!("{error}\n"));
}

#[test]
fn a_failed_tcp_line_is_not_the_end() {
    let port = scripted_tcp([ReadOnce, Say("ONE\nMORE")]).port();
    let Some(mut terminal) = terminal("--tcp", port) else {
        return;
    };
    terminal.types("one\ntwo\n\x04");
    let error = format!(
        "error: tcp localhost:{port} answers more than it was asked; is it an upper-case echo?"
    );
    terminal.ends(1, &format!(">{error}\n>{error}\n>\n"));
}
