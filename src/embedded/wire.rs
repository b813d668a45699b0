//! As much of PostgreSQL's protocol as it takes to ask a private server whether it is ready.
//!
//! Purpose: connect over the unix socket as the cluster's owner, run one statement, read the outcome.
//!
//! Must not know: anything above a statement. It has no TLS, no password and no result rows, because the
//! private socket needs none.
//!
//! Why: `psql`, `createdb` and `pg_isready` may not be installed with the server, a connection pool is for
//! those above, and this runs on a plain thread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The cluster's superuser, and the only user.
pub(super) const USER: &str = "credit";
/// The port in the socket's file name; nothing listens on it.
pub(super) const PORT: u16 = 5432;

const PROTOCOL_3_0: i32 = 196_608;
/// Longest message accepted: a server's greeting and its errors are far below.
const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Longest wait for one message, `CREATE DATABASE` on a slow disk included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// SQLSTATE: the database named does not exist.
pub(super) const NO_SUCH_DATABASE: &str = "3D000";
/// SQLSTATE: the database to create exists.
pub(super) const DUPLICATE_DATABASE: &str = "42P04";
/// SQLSTATE: starting up, shutting down or recovering.
pub(super) const CANNOT_CONNECT_NOW: &str = "57P03";
/// SQLSTATE: every connection is taken, so it is up.
pub(super) const TOO_MANY_CONNECTIONS: &str = "53300";

/// Why the server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody listens, or the connection broke.
    #[error("no answer on the socket")]
    Io(#[from] io::Error),
    /// The server said no.
    #[error("{message} ({code})")]
    Server { code: String, message: String },
    /// The server said something that is not expected here.
    #[error("unexpected answer: {0}")]
    Protocol(&'static str),
}

/// A connection that is ready for a statement.
pub(super) struct Session(UnixStream);

impl Session {
    /// Connects to `database` through the socket in `socket_dir`.
    pub(super) fn connect(socket_dir: &Path, database: &str) -> Result<Self, WireError> {
        let stream = UnixStream::connect(socket_dir.join(format!(".s.PGSQL.{PORT}")))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let mut session = Self(stream);
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        for text in ["user", USER, "database", database] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        session.send(None, &body)?;
        session.until_ready()?;
        Ok(session)
    }

    /// Runs one statement and drops its rows.
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), WireError> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    fn send(&mut self, tag: Option<u8>, body: &[u8]) -> Result<(), WireError> {
        let length = i32::try_from(body.len() + 4).map_err(|_| WireError::Protocol("message too long to send"))?;
        let mut message: Vec<u8> = tag.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        Ok(self.0.write_all(&message)?)
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), WireError> {
        let mut head = [0u8; 5];
        self.0.read_exact(&mut head)?;
        let [tag, a, b, c, d] = head;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok().and_then(|n| n.checked_sub(4));
        let length = length.filter(|n| *n <= MESSAGE_MAX_BYTES).ok_or(WireError::Protocol("bad message length"))?;
        let mut body = vec![0u8; length];
        self.0.read_exact(&mut body)?;
        Ok((tag, body))
    }

    /// Reads up to `ReadyForQuery`. A statement's error is followed by it; a refused connection ends instead.
    fn until_ready(&mut self) -> Result<(), WireError> {
        let mut refusal = None;
        loop {
            match self.receive() {
                Ok((b'Z', _)) => return refusal.map_or(Ok(()), Err),
                Ok((b'E', body)) => refusal = Some(server_error(&body)),
                Ok((b'R', body)) if body != [0, 0, 0, 0] => return Err(WireError::Protocol("asked for a password")),
                Ok(_) => {}
                Err(error) => return Err(refusal.unwrap_or(error)),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A goodbye keeps "unexpected EOF" out of the server's log; when it cannot be said, so be it.
        let _ = self.send(Some(b'X'), &[]);
    }
}

/// The SQLSTATE and message of an `ErrorResponse`: fields of a tag byte and a text, each ended by a zero.
fn server_error(body: &[u8]) -> WireError {
    let mut code = String::new();
    let mut message = String::new();
    for field in body.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'C', text)) => code = String::from_utf8_lossy(text).into_owned(),
            Some((b'M', text)) => message = String::from_utf8_lossy(text).into_owned(),
            Some(_) | None => {}
        }
    }
    WireError::Server { code, message }
}

#[cfg(test)]
mod tests {
    use super::{WireError, server_error};

    #[test]
    fn an_error_response_is_taken_apart() {
        let body = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0Fpostmaster.c\0\0";
        let WireError::Server { code, message } = server_error(body) else { unreachable!("always a server error") };
        assert_eq!((code.as_str(), message.as_str()), ("57P03", "the database system is starting up"));
    }
}
