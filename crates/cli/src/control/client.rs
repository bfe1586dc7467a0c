//! The asking side of the control socket: blocking, since a command has nothing else to do.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{RESPONSE_BYTES_MAX, Request, Response, server};

/// How long an answer may take: a password is hashed, sessions are ended.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A connection to a running server.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects, if a server is there. A socket that nobody serves is what a killed server left.
    pub fn connect(folder: &Path) -> anyhow::Result<Option<Self>> {
        let stream = match server::at_socket(folder, |path| UnixStream::connect(path)) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("the server's control socket"),
        };
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        Ok(Some(Self { stream: BufReader::new(stream) }))
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> anyhow::Result<Response> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).context("asking the server")?;
        let mut answer = Vec::new();
        let bound = RESPONSE_BYTES_MAX as u64 + 1;
        self.stream.by_ref().take(bound).read_until(b'\n', &mut answer).context("the server's answer")?;
        if answer.last() != Some(&b'\n') {
            bail!("the server ended the connection without an answer; whether it was done is not known");
        }
        serde_json::from_slice(&answer).context("the server's answer cannot be read")
    }
}
