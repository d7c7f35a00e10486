//! IDLE (RFC 2177): changes are told as they happen.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::{codec::limits, session::Closed};

impl Connection {
    /// Tells changes until the client says DONE; whether the connection goes on.
    pub(super) async fn idle_until_done(
        &mut self,
        tag: &str,
        stop: &CancellationToken,
    ) -> Result<bool, Closed> {
        self.out.writer.text("+ idling\r\n");
        self.idling = true;
        let done = self.until_done(stop).await;
        self.idling = false;
        match done? {
            None => return Ok(false),
            Some(true) => self.out.writer.status(tag, "OK", None, "done"),
            Some(false) => self.out.writer.status(tag, "BAD", None, "DONE is expected"),
        }
        Ok(true)
    }

    /// Whether it was DONE that came; `None` at the end of the connection.
    async fn until_done(&mut self, stop: &CancellationToken) -> Result<Option<bool>, Closed> {
        let since = Instant::now();
        loop {
            match self.framer.line(limits::LINE_BEFORE) {
                Ok(Some(line)) => return Ok(Some(line.eq_ignore_ascii_case(b"DONE"))),
                Ok(None) => {}
                Err(_) => return Ok(None),
            }
            self.notice();
            if !self.session.tell_changes(&mut self.out).await? {
                return Ok(None);
            }
            if !self.wait(since, stop).await? {
                return Ok(None);
            }
        }
    }
}
