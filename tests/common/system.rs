//! What is asked of the system: signals, other programs, namespaces.

use std::io::Write;
use std::process::{Child, Command};
use std::thread;

/// Sends a signal: `"-STOP"`.
#[cfg(unix)]
pub fn signal(child: &Child, signal: &str) {
    // The shell's own kill: not every machine has the program.
    let kill = format!("kill {signal} {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

/// Whether there is such a program. If not, it says visibly that a test is skipped.
pub fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        skip(&format!("there is no `{program}` here"));
    }
    there
}

/// A number of kilobytes from the system's table of a process: `"VmRSS:"`. `None` where there is no such table.
pub fn kilobytes(child: &Child, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A shell's script in a network of its own, as root of a namespace: with these `hosts`, and with this range of ports for
/// sockets that ask for a free one. `None`, and a visible word, where the system does not allow that.
#[cfg(target_os = "linux")]
pub fn in_a_namespace(hosts: &str, ports: &str, script: &str) -> Option<Command> {
    let set_up = format!(
        "set -e; ip link set lo up; echo {ports} >/proc/sys/net/ipv4/ip_local_port_range; \
         mount -t tmpfs none /srv; printf '{hosts}' >/srv/hosts; mount --bind /srv/hosts /etc/hosts"
    );
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        // All that it has started ends with it.
        command.args(["--map-root-user", "--net", "--mount", "--pid", "--fork"]);
        command.args(["--kill-child", "bash", "-c", script]);
        command
    };
    match unshare(&set_up).output() {
        Ok(output) if output.status.success() => Some(unshare(&format!("{set_up}; {script}"))),
        Ok(output) => {
            skip(&String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            skip(&format!("cannot run unshare: {error}"));
            None
        }
    }
}

/// Says that a test cannot be made here, past the test harness, which would keep the words of a test that passes. With
/// `SKIP_NOTHING=1` that is a failure.
pub fn skip(why: &str) {
    let is_allowed = std::env::var_os("SKIP_NOTHING").is_none();
    assert!(is_allowed, "skipped: {why}");
    let name = thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}
