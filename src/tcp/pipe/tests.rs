//! The clock of a pipe, and failures of its sender that cannot be produced on loopback.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use std::net::TcpListener;

/// What the receiver says of this state, if the server may be silent for 10 seconds.
fn judge(end: Option<SenderEnd>, seconds_since_progress: Option<u64>) -> Result<(), PipeError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let now = Instant::now();
    let long_ago = now.checked_sub(Duration::from_secs(20)).unwrap();
    let shared = SharedSenderState::default();
    shared.update(|state| {
        state.end = end;
        state.last_progress = seconds_since_progress
            .map(|seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap());
    });
    let receiver = Receiver {
        connection: &Observed {
            socket: &socket,
            timeout: Duration::from_secs(1),
            peer: listener.local_addr().unwrap(),
            observer: &|_: Event| {},
        },
        patience: Duration::from_secs(10),
        shared: &shared,
        received: Count::default(),
        last_received: long_ago,
    };
    receiver.check_progress()
}

#[test]
fn the_clock_runs_only_while_the_network_is_awaited() {
    assert!(judge(None, None).is_ok());
    assert!(judge(None, Some(5)).is_ok());
    assert!(judge(Some(SenderEnd::InputEnded), Some(5)).is_ok());
    let silent = judge(Some(SenderEnd::InputEnded), Some(15)).unwrap_err();
    assert!(matches!(silent, PipeError::Network(e) if e.kind() == ErrorKind::TimedOut));
    assert!(judge(None, Some(15)).is_err());
}

#[test]
fn a_failure_of_the_sender_is_told() {
    let failed = |kind: ErrorKind| Some(SenderEnd::NetworkFailed(kind.into()));
    // At once, unless the server has ended the connection: then answers may still come.
    let error = judge(failed(ErrorKind::OutOfMemory), Some(0)).unwrap_err();
    assert!(matches!(error, PipeError::Network(e) if e.kind() == ErrorKind::OutOfMemory));
    assert!(judge(failed(ErrorKind::BrokenPipe), Some(0)).is_ok());
    // An input that failed is told rather than the silence.
    let input_failed = || Some(SenderEnd::InputFailed(ErrorKind::OutOfMemory.into()));
    assert!(judge(input_failed(), Some(5)).is_ok());
    let error = judge(input_failed(), Some(15)).unwrap_err();
    assert!(matches!(error, PipeError::Input(_)));
}
