//! One connection from greeting to good bye. Commands run in order.

use std::{net::IpAddr, sync::Arc, time::Duration};

use posthouse_auth::{Origin, Service};
use posthouse_directory::{AccountId, key};
use tokio::{
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Context, MEMORY_UNIT, Mode, hub::Watch, port::StorePort, transport::Transport};
use crate::{
    codec::{
        self, BadCommand, Code, Frame, Framer, Limits, ParseError, RawCommand, Refusal, limits,
    },
    session::{Closed, Facts, Flow, Out, Session},
};

/// How often a silent session is looked at: the account may have expired by the clock alone.
const LOOK: Duration = Duration::from_secs(10);

/// One connection.
pub(super) struct Connection {
    pub(super) context: Arc<Context>,
    pub(super) session: Session<StorePort>,
    pub(super) out: Out<Transport>,
    pub(super) framer: Framer,
    pub(super) origin: Origin,
    pub(super) watch: Option<Watch>,
    pub(super) failed_sign_ons: u32,
    pub(super) idling: bool,
    bad_commands: u32,
    opened: Instant,
    memory: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Takes a connection, under TLS if it begins so.
    pub(super) async fn open(
        stream: TcpStream,
        address: IpAddr,
        mode: Mode,
        context: Arc<Context>,
    ) -> Option<Self> {
        let mut transport = Transport::new(stream, context.waits);
        let mut origin =
            Origin { service: Service::Imap, address, tls: false, channel_binding: None };
        if mode == Mode::Tls {
            let tls = &context.services.tls;
            transport.start_tls(tls.config()).await.ok()?;
            (origin.tls, origin.channel_binding) = (true, Some(tls.end_point()));
        }
        let source = context.services.source.clone();
        let facts = Facts { source, ..Facts::default() };
        let session = Session::new(StorePort(context.clone()), facts);
        Some(Self {
            context,
            session,
            out: Out::new(transport),
            framer: Framer::default(),
            origin,
            watch: None,
            failed_sign_ons: 0,
            idling: false,
            bad_commands: 0,
            opened: Instant::now(),
            memory: None,
        })
    }

    /// Brings the capabilities up to date: settings and mechanisms change.
    pub(super) fn refresh(&mut self) {
        let services = &self.context.services;
        let limit = services.directory.integer(key::SMTP_MAX_MESSAGE);
        let mechanisms = services.auth.offered(&self.origin);
        let tls = self.origin.tls;
        let capabilities = self.session.capabilities();
        capabilities.append_limit = limit.min(posthouse_store::Store::MAX_MESSAGE as u64);
        capabilities.tls = tls;
        capabilities.mechanisms = mechanisms;
    }

    fn limits(&mut self) -> Limits {
        match (self.session.mailbox(), self.origin.tls) {
            (Some(_), _) => Limits::after(self.session.capabilities().append_limit as usize),
            (None, true) => Limits::BEFORE,
            (None, false) => Limits::CLEAR,
        }
    }

    /// From greeting to good bye.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> Result<(), Closed> {
        self.refresh();
        let capabilities = self.session.capabilities().text();
        let greeting = format!("{} Posthouse ready", self.context.services.host);
        self.out.writer.status("*", "OK", Some(&format!("CAPABILITY {capabilities}")), &greeting);
        while let Some(raw) = self.command(stop).await? {
            let go_on = self.answer(&raw, stop).await?;
            self.memory = None;
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// Ends the connection.
    pub(super) async fn close(&mut self) {
        let _ = self.out.flush().await;
        self.watch = None;
        self.out.wire.close().await;
    }

    /// The next command; `None` if the connection is to be closed.
    async fn command(&mut self, stop: &CancellationToken) -> Result<Option<RawCommand>, Closed> {
        let since = Instant::now();
        self.refresh();
        loop {
            let limits = self.limits();
            match self.framer.next(limits) {
                Frame::Command(raw) => return Ok(Some(raw)),
                Frame::Continue => self.invite(),
                Frame::WantsMemory { bytes } => {
                    if self.reserve(bytes).await {
                        if self.framer.grant() {
                            self.invite();
                        }
                    } else if let Frame::Refused { tag, refusal, close } = self.framer.deny()
                        && !self.refuse(tag, refusal, close)
                    {
                        return Ok(None);
                    }
                }
                Frame::Refused { tag, refusal, close } => {
                    if !self.refuse(tag, refusal, close) {
                        return Ok(None);
                    }
                }
                Frame::Incomplete => {
                    if !self.wait(since, stop).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn invite(&mut self) {
        self.out.writer.text("+ go on\r\n");
    }

    async fn reserve(&mut self, bytes: usize) -> bool {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        let memory = self.context.memory.clone().acquire_many_owned(units);
        match timeout(limits::WAIT_MEMORY, memory).await {
            Ok(Ok(permit)) => {
                match &mut self.memory {
                    Some(held) => held.merge(permit),
                    None => self.memory = Some(permit),
                }
                true
            }
            _ => false,
        }
    }

    /// Says why; whether the connection goes on.
    fn refuse(&mut self, tag: Option<String>, refusal: Refusal, close: bool) -> bool {
        metrics::counter!("posthouse_imap_refused_commands_total").increment(1);
        let address = self.origin.address;
        tracing::info!(target: "security", %address, ?refusal, "IMAP command refused");
        let (kind, code, text) = match refusal {
            Refusal::LineTooLong => ("BAD", None, "the command line is too long"),
            Refusal::TooManyLiterals => ("BAD", None, "too many literals"),
            Refusal::TooBig => ("NO", Some(Code::TooBig), "the literal is too large"),
            Refusal::PrivacyRequired => ("NO", Some(Code::PrivacyRequired), "begin TLS first"),
        };
        if let Some(tag) = tag {
            self.out.writer.status(&tag, kind, code.map(Code::text), text);
        }
        if close {
            self.out.writer.untagged(format_args!("BYE {text}"));
        }
        !close
    }

    /// Whether the account may go on; says good bye if not.
    pub(super) fn is_valid(&mut self) -> bool {
        let Some(mailbox) = self.session.mailbox() else { return true };
        if self.context.services.auth.still_valid(AccountId(mailbox.0)) {
            return true;
        }
        tracing::info!(target: "security", account = ?mailbox.0, "IMAP session ended: the account is no longer valid");
        self.out.writer.untagged("BYE the account is no longer valid");
        false
    }

    fn idle(&self) -> Duration {
        Duration::from_secs(self.context.services.directory.integer(key::SESSION_IDLE))
    }

    /// Until when the client may be silent.
    fn deadline(&self, since: Instant) -> Instant {
        let waits = &self.context.waits;
        if self.session.mailbox().is_none() {
            return (since + waits.before).min(self.opened + waits.sign_on);
        }
        if self.framer.has_begun() { Instant::now() + waits.within } else { since + self.idle() }
    }

    /// Waits for bytes; whether there are any. Otherwise the client has been told why not.
    pub(super) async fn wait(
        &mut self,
        since: Instant,
        stop: &CancellationToken,
    ) -> Result<bool, Closed> {
        self.out.flush().await?;
        let deadline = self.deadline(since);
        loop {
            let account = async {
                match &self.watch {
                    Some(watch) => watch.notified().await,
                    None => std::future::pending().await,
                }
            };
            let look = (Instant::now() + LOOK).min(deadline);
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.out.writer.untagged("BYE the server is going down");
                    return Ok(false);
                }
                read = self.out.wire.read(self.framer.input()) => return read.map(|()| true),
                () = account => {}
                () = tokio::time::sleep_until(look) => {
                    if Instant::now() >= deadline {
                        self.out.writer.untagged("BYE you were silent for too long");
                        return Ok(false);
                    }
                }
            }
            if !self.is_valid() {
                return Ok(false);
            }
            // what has changed is told with the next command, or at once in IDLE
            if self.notice() && self.idling {
                return Ok(true);
            }
        }
    }

    /// Passes on what the hub says; whether the folder may have changed.
    pub(super) fn notice(&mut self) -> bool {
        let changed = self.watch.as_ref().is_some_and(Watch::take_changed);
        if changed {
            self.session.touch();
        }
        changed
    }

    /// Does a command; whether the connection goes on.
    async fn answer(&mut self, raw: &RawCommand, stop: &CancellationToken) -> Result<bool, Closed> {
        let tagged = match codec::parse(raw) {
            Ok(tagged) => tagged,
            Err(bad) => return Ok(self.bad(&bad)),
        };
        self.bad_commands = 0;
        self.notice();
        let checks = self.watch.as_ref().is_some_and(Watch::take_account);
        if checks && !self.is_valid() {
            return Ok(false);
        }
        metrics::counter!("posthouse_imap_commands_total", "command" => tagged.command.name())
            .increment(1);
        let flow = self.session.run(tagged, &mut self.out).await?;
        if let Some(watch) = &self.watch {
            watch.folder(self.session.selected());
        }
        match flow {
            Flow::Next => Ok(true),
            Flow::Close => Ok(false),
            Flow::StartTls => self.start_tls().await,
            Flow::Compress => self.compress().await,
            Flow::SignOn { tag, how } => self.sign_on(&tag, how, stop).await,
            Flow::Idle { tag } => self.idle_until_done(&tag, stop).await,
        }
    }

    fn bad(&mut self, bad: &BadCommand) -> bool {
        self.bad_commands += 1;
        let tag = bad.tag.as_deref().unwrap_or("*");
        match &bad.error {
            ParseError::Bad(text) => self.out.writer.status(tag, "BAD", None, text),
            ParseError::BadCharset => {
                let code = Some(Code::BadCharset.text());
                self.out.writer.status(tag, "NO", code, "the charset is unknown");
            }
        }
        if self.bad_commands >= limits::BAD_COMMANDS {
            self.out.writer.untagged("BYE too many bad commands");
            return false;
        }
        true
    }

    async fn start_tls(&mut self) -> Result<bool, Closed> {
        if self.framer.has_begun() {
            // a man in the middle may have put commands in front of the client's (RFC 9051 §6.2.1)
            let address = self.origin.address;
            tracing::warn!(target: "security", %address, "IMAP commands sent before TLS began");
            drop(self.out.writer.take());
            return Err(Closed);
        }
        self.out.flush().await?;
        let tls = self.context.services.tls.clone();
        self.out.wire.start_tls(tls.config()).await?;
        self.framer = Framer::default();
        (self.origin.tls, self.origin.channel_binding) = (true, Some(tls.end_point()));
        Ok(true)
    }

    async fn compress(&mut self) -> Result<bool, Closed> {
        if self.framer.has_begun() {
            self.out.writer.untagged("BYE commands before compression began");
            return Ok(false);
        }
        self.out.flush().await?;
        self.out.wire.start_deflate();
        Ok(true)
    }
}
