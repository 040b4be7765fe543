//! What is asked of the system: signals, other programs, namespaces.

use std::io::Write;
use std::process::Command;
use std::thread;

use super::programs::{Program, Run};

/// Says that a test cannot be made here. It does so past the test harness, which would
/// not show the words of a test that passes.
pub fn skip(why: &str) {
    let thread = thread::current();
    let name = thread.name().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {}", why.trim_end());
}

/// Whether a command succeeds here. If not, it says that a test is skipped.
pub fn can(command: &mut Command) -> bool {
    let why = match command.output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skip(&format!(
        "{}: {why}",
        command.get_program().to_string_lossy()
    ));
    false
}

/// Sends a signal: `"-STOP"`.
pub fn signal(program: &Program, signal: &str) {
    // The shell's own kill: not every machine has the program.
    let kill = format!("kill {signal} {}", program.child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

/// A number of kilobytes in Linux's table of a process: `"VmRSS:"`.
pub fn kilobytes(program: &Program, field: &str) -> u64 {
    let table = format!("/proc/{}/status", program.child.id());
    let table = std::fs::read_to_string(table).unwrap();
    let line = table.lines().find(|line| line.starts_with(field));
    let words = line.expect(field).split_whitespace();
    words.rev().nth(1).unwrap().parse().unwrap()
}

/// What the script of [`in_a_namespace`] can use.
const NAMESPACE: &str = r#"
set -e
ip link set lo up
mount -t tmpfs none /srv
# hosts LINE...: all the names that there are
hosts() { printf '%s\n' "$@" >/srv/hosts; mount --bind /srv/hosts /etc/hosts; }
# free_ports FIRST LAST: the ports that the system gives to sockets
free_ports() { echo "$1 $2" >/proc/sys/net/ipv4/ip_local_port_range; }
# serve FLAG...: starts a server, and waits until it is ready
serve() {
    mkfifo /srv/ready
    "$server" --max-connections 2 "$@" >/srv/ready &
    read -r _ </srv/ready
    rm /srv/ready
}
hosts; free_ports 41000 42000
"#;

/// A script as root of a namespace, in a network of its own. `None`, after [`skip`], where the system
/// does not allow that.
pub fn in_a_namespace(script: &str) -> Option<Run> {
    let unshare = |script: &str| {
        // All that the script has started ends with it.
        let flags = "--map-root-user --net --mount --pid --fork --kill-child sh -c";
        Run::new("unshare", flags).arg(&format!("{NAMESPACE}{script}"))
    };
    can(&mut unshare("").command).then(|| unshare(script))
}
