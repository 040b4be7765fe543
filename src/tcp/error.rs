//! The errors of a TCP client: which part of a call failed, and the system's error.

use std::error::Error;
use std::fmt;
use std::io;

/// What failed in [`Client::ask`](super::Client::ask).
#[derive(Debug)]
pub enum AskError {
    /// There was no connection any more, and connecting again failed.
    Connect(io::Error),
    /// The sentence could not be sent, or the server gave no proper answer.
    Answer(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect again: {error}"),
            Self::Answer(error) => write!(f, "no proper answer: {error}"),
        }
    }
}

impl Error for AskError {}

/// What failed in [`Client::pipe`](super::Client::pipe).
#[derive(Debug)]
pub enum PipeError {
    /// The input could not be read. The answers to what was sent before have been written, unless
    /// the server did not answer in time.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// The connection failed, or the server did not answer as it should.
    Network(io::Error),
    /// The system could not start the thread that sends.
    Thread(io::Error),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "cannot read the input: {error}"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
            Self::Network(error) => write!(f, "the connection failed: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl Error for PipeError {}
