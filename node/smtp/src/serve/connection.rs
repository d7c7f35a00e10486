//! One connection: moves bytes between socket and session, and does what the session says.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use posthouse_auth::{Exchange, Origin, Service};
use posthouse_directory::key;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    budget::Share,
    stream::{Stream, accept_tls},
};
use crate::{
    codec::Reply,
    session::{Action, Answer, Expects, Limits, Mode, Session, Settings},
};

/// Bytes read at once; also the most that a client can send ahead.
const READ_SIZE: usize = 32 * 1024;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// What it calls itself.
    pub(super) helo: String,
    /// It said EHLO.
    pub(super) extended: bool,
    /// TLS version and cipher suite.
    pub(super) tls: Option<String>,
}

pub(super) struct Connection {
    pub(super) context: Arc<Context>,
    pub(super) exchange: Option<Exchange>,
    mode: Mode,
    peer: Peer,
    session: Session,
    share: Share,
}

/// Serves a connection to its end. Whatever goes wrong ends this connection only.
pub(super) async fn run(
    socket: TcpStream,
    mode: Mode,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let Ok(address) = socket.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
    let _ = socket.set_nodelay(true);
    let mut stream: Box<dyn Stream> = Box::new(socket);
    let mut tls = None;
    if mode == Mode::SubmissionTls {
        let Ok((secured, words)) = handshake(stream, &context, address).await else { return };
        (stream, tls) = (secured, Some(words));
    }
    let peer = Peer { address, helo: String::new(), extended: false, tls };
    let limit = |name| context.directory.integer(name);
    let settings = Settings {
        host: context.host.clone(),
        mode,
        tls_available: true,
        tls: peer.tls.is_some(),
        limits: Limits {
            message: limit(key::SMTP_MAX_MESSAGE),
            recipients: usize::try_from(limit(key::SMTP_MAX_RECIPIENTS)).unwrap_or(usize::MAX),
            hops: usize::try_from(limit(key::SMTP_MAX_HOPS)).unwrap_or(usize::MAX),
        },
        mechanisms: Vec::new(),
    };
    let share = Share::new(context.budget.clone());
    let session = Session::new(settings);
    let mut connection = Connection { context, exchange: None, mode, peer, session, share };
    connection.offer();
    if let Err(error) = connection.talk(stream, stop).await {
        tracing::debug!(target: "debug", ?error, from = %address, "connection ended");
    }
}

async fn handshake(
    stream: Box<dyn Stream>,
    context: &Context,
    address: IpAddr,
) -> io::Result<(Box<dyn Stream>, String)> {
    let accept = accept_tls(stream, context.tls.config());
    let result = timeout(context.timeouts.handshake, accept).await.map_err(io::Error::from);
    result.flatten().inspect_err(|error| {
        tracing::info!(target: "security", from = %address, ?error, "TLS handshake failed");
    })
}

impl Connection {
    pub(super) fn origin(&self) -> Origin {
        let tls = self.peer.tls.is_some();
        Origin {
            service: Service::Submission,
            address: self.peer.address,
            tls,
            channel_binding: tls.then(|| self.context.tls.end_point()),
        }
    }

    /// Tells the session which mechanisms it may offer.
    fn offer(&mut self) {
        if self.mode.is_submission() {
            let mechanisms = self.context.auth.offered(&self.origin());
            self.session.set_mechanisms(mechanisms);
        }
    }

    async fn talk(
        &mut self,
        mut stream: Box<dyn Stream>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let mut buffer = vec![0; READ_SIZE];
        let mut since = Instant::now();
        let mut expected = self.session.expects();
        loop {
            while let Some(action) = self.session.advance() {
                match action {
                    Action::Close => {
                        self.flush(&mut stream).await?;
                        return stream.shutdown().await;
                    }
                    Action::StartTls => {
                        self.flush(&mut stream).await?;
                        stream = self.start_tls(stream).await?;
                    }
                    action => self.perform(action).await,
                }
            }
            if self.flush(&mut stream).await? || expected != self.session.expects() {
                since = Instant::now();
                expected = self.session.expects();
            }
            if !self.share.set(self.session.held()) {
                self.session.drop_message();
                self.share.set(self.session.held());
            }
            match self.read(&mut stream, &mut buffer, since, &stop).await? {
                Some(0) => return Ok(()),
                Some(count) => self.session.receive(buffer.get(..count).unwrap_or_default()),
                None => {}
            }
        }
    }

    /// Reads some bytes; `None` when it was too late or the service stops, which the session has been told.
    async fn read(
        &mut self,
        stream: &mut Box<dyn Stream>,
        buffer: &mut [u8],
        since: Instant,
        stop: &CancellationToken,
    ) -> io::Result<Option<usize>> {
        let expects = self.session.expects();
        let (idle, total) = self.patience(expects);
        let deadline = (since + total).min(Instant::now() + idle);
        tokio::select! {
            read = stream.read(buffer) => read.map(Some),
            () = tokio::time::sleep_until(deadline) => {
                self.session.timed_out();
                Ok(None)
            }
            () = stop.cancelled(), if expects == Expects::Line => {
                self.session.stop();
                Ok(None)
            }
        }
    }

    /// Longest silence and longest time in all.
    fn patience(&self, expects: Expects) -> (Duration, Duration) {
        let timeouts = &self.context.timeouts;
        match expects {
            Expects::Line => (timeouts.command, timeouts.command),
            Expects::Data => (timeouts.data_idle, timeouts.data_total),
            Expects::BrokenData => (timeouts.broken_data, timeouts.data_total),
        }
    }

    /// Sends what the session has to say; whether there was anything.
    async fn flush(&mut self, stream: &mut Box<dyn Stream>) -> io::Result<bool> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(false);
        }
        let write = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        timeout(self.context.timeouts.write, write).await.map_err(io::Error::from).flatten()?;
        Ok(true)
    }

    async fn start_tls(&mut self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let (stream, words) = handshake(stream, &self.context, self.peer.address).await?;
        self.peer.tls = Some(words);
        self.exchange = None;
        self.session.tls_started(Vec::new());
        self.offer();
        Ok(stream)
    }

    async fn perform(&mut self, action: Action) {
        let answer = match action {
            Action::SignOn(auth) => Answer::SignOn(self.sign_on(auth).await),
            Action::Sasl(message) => Answer::SignOn(self.sasl(&message).await),
            Action::CheckSender(address) => {
                Answer::Checked(self.check_sender(&address.to_string()))
            }
            Action::Resolve(rcpt, size) => {
                let from = self.peer.address;
                Answer::Resolved(self.context.recipient(self.mode, from, *rcpt, size).await)
            }
            Action::Accept(transaction) => {
                self.peer.helo = self.session.helo();
                self.peer.extended = self.session.is_extended();
                let user = self.session.user();
                Answer::Checked(self.context.accept(&self.peer, user, *transaction).await)
            }
            Action::CancelSignOn => {
                self.exchange = None;
                return;
            }
            Action::StartTls | Action::Close => return,
        };
        self.session.answer(answer);
    }

    fn check_sender(&self, address: &str) -> Reply {
        match self.session.user() {
            Some(user) if !self.context.auth.still_valid(user.account) => Reply::SignOnRequired,
            Some(user) if self.context.directory.may_send_as(user.account, address) => {
                Reply::SenderOk
            }
            _ => Reply::SenderNotYours,
        }
    }
}
