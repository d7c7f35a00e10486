//! LOGIN and AUTHENTICATE: carries messages between the client and `auth`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_auth::{Exchange, Identity, Reason, Step};
use posthouse_directory::key;
use posthouse_store::{MailboxId, Quota, Refusal, Request, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::{
    codec::{Code, limits},
    session::{Closed, Port as _, SignOn},
};

/// How an exchange ended.
enum End {
    SignedOn(Box<Identity>),
    Refused(Reason),
    /// The client gave up or sent something that is no answer.
    Broken(&'static str),
    /// The connection is to be closed.
    Closed,
}

impl Connection {
    /// Signs on and answers `tag`; whether the connection goes on.
    pub(super) async fn sign_on(
        &mut self,
        tag: &str,
        how: SignOn,
        stop: &CancellationToken,
    ) -> Result<bool, Closed> {
        let end = match how {
            SignOn::Password { user, password } => {
                let auth = &self.context.services.auth;
                match auth.password(&user, &password, &self.origin).await {
                    Ok(identity) => End::SignedOn(Box::new(identity)),
                    Err(reason) => End::Refused(reason),
                }
            }
            SignOn::Sasl { mechanism, initial } => {
                match self.context.services.auth.start(&mechanism, self.origin.clone()) {
                    Ok(exchange) => self.exchange(exchange, initial, stop).await?,
                    Err(reason) => End::Refused(reason),
                }
            }
        };
        match end {
            End::SignedOn(identity) => self.welcome(tag, &identity).await,
            End::Refused(reason) => Ok(self.refused(tag, &reason)),
            End::Broken(text) => {
                self.out.writer.status(tag, "BAD", None, text);
                Ok(self.count_failure())
            }
            End::Closed => Ok(false),
        }
    }

    async fn exchange(
        &mut self,
        mut exchange: Exchange,
        initial: Option<Vec<u8>>,
        stop: &CancellationToken,
    ) -> Result<End, Closed> {
        let mut line = match initial {
            // RFC 4959: = is the empty response
            Some(initial) if initial == b"=" => Vec::new(),
            Some(initial) => initial,
            None => {
                let challenge = exchange.first_challenge();
                match self.challenge(&challenge, stop).await? {
                    Some(line) => line,
                    None => return Ok(End::Closed),
                }
            }
        };
        loop {
            if line == b"*" {
                return Ok(End::Broken("cancelled"));
            }
            let input = match STANDARD.decode(&line) {
                Ok(input) if input.len() <= limits::SASL => input,
                _ => return Ok(End::Broken("no base64, or too long")),
            };
            let challenge = match exchange.step(&input).await {
                Step::Challenge(challenge) => challenge,
                Step::Failed(reason) => return Ok(End::Refused(reason)),
                Step::Done { identity, last: None } => {
                    return Ok(End::SignedOn(Box::new(identity)));
                }
                Step::Done { identity, last: Some(last) } => {
                    // IMAP has no data with success: a challenge with an empty answer
                    return Ok(match self.challenge(&last, stop).await? {
                        Some(answer) if answer.is_empty() => End::SignedOn(Box::new(identity)),
                        Some(_) => End::Broken("an empty answer is expected"),
                        None => End::Closed,
                    });
                }
            };
            line = match self.challenge(&challenge, stop).await? {
                Some(line) => line,
                None => return Ok(End::Closed),
            };
        }
    }

    /// Sends a challenge and reads the answer, still in base64; `None` if the connection ends.
    async fn challenge(
        &mut self,
        challenge: &[u8],
        stop: &CancellationToken,
    ) -> Result<Option<Vec<u8>>, Closed> {
        self.out.writer.text("+ ").text(STANDARD.encode(challenge)).text("\r\n");
        let since = Instant::now();
        loop {
            match self.framer.line(limits::SASL_LINE) {
                Ok(Some(line)) => return Ok(Some(line.to_vec())),
                Ok(None) => {}
                Err(_) => {
                    self.out.writer.untagged("BYE the line is too long");
                    return Ok(None);
                }
            }
            if !self.wait(since, stop).await? {
                return Ok(None);
            }
        }
    }

    async fn welcome(&mut self, tag: &str, identity: &Identity) -> Result<bool, Closed> {
        let mailbox = MailboxId(identity.account.id.0);
        if let Err(text) = self.provide(mailbox, identity).await {
            self.out.writer.status(tag, "NO", Some(Code::Unavailable.text()), text);
            return Ok(true);
        }
        self.watch = Some(self.context.hub.watch(mailbox));
        self.session.signed_on(mailbox);
        self.refresh();
        tracing::info!(target: "security", account = ?mailbox.0, address = %self.origin.address,
            mechanism = ?identity.mechanism, "signed on to IMAP");
        let capabilities = self.session.capabilities().text();
        let code = format!("CAPABILITY {capabilities}");
        self.out.writer.status(tag, "OK", Some(&code), "signed on");
        Ok(true)
    }

    /// Sees to it that the mailbox is there.
    async fn provide(
        &mut self,
        mailbox: MailboxId,
        identity: &Identity,
    ) -> Result<(), &'static str> {
        const LATER: &str = "the mailbox is not available at the moment, try again later";
        let Some(user) = identity.account.user() else { return Err("there is no mailbox") };
        let port = self.session.port();
        match port.call(Request::Quota { mailbox }).await {
            Ok(Response::Refused(Refusal::NoSuchMailbox(_))) => {}
            Ok(Response::Quota { .. }) => return Ok(()),
            _ => return Err(LATER),
        }
        let default = self.context.services.directory.integer(key::QUOTA_BYTES);
        let bytes = user.quota_bytes.or(Some(default).filter(|bytes| *bytes > 0));
        let quota = Quota { bytes, items: user.quota_items };
        match port.call(Request::CreateMailbox { mailbox, quota }).await {
            Ok(Response::Refused(_)) | Err(_) => Err(LATER),
            Ok(_) => Ok(()),
        }
    }

    fn refused(&mut self, tag: &str, reason: &Reason) -> bool {
        let code = match reason {
            Reason::NotAvailable(_) if !self.origin.tls => Some(Code::PrivacyRequired),
            Reason::NotAvailable(_) | Reason::Malformed(_) | Reason::Cancelled => None,
            reason if reason.is_temporary() => Some(Code::Unavailable),
            _ => Some(Code::AuthenticationFailed),
        };
        self.out.writer.status(tag, "NO", code.map(Code::text), reason.public());
        self.count_failure()
    }

    fn count_failure(&mut self) -> bool {
        self.failed_sign_ons += 1;
        if self.failed_sign_ons >= limits::FAILED_SIGN_ONS {
            self.out.writer.untagged("BYE too many failed sign-ons");
            return false;
        }
        true
    }
}
