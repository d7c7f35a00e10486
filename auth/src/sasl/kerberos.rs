//! Kerberos exchanges: SASL GSSAPI (RFC 4752), GSS-SPNEGO, HTTP Negotiate (RFC 4559).
//!
//! GSS-SPNEGO and Negotiate end with the context; GSSAPI goes on with the security layer round.

use std::sync::Arc;

use posthouse_directory::Account;

use super::{Step, layer};
use crate::{
    Identity, Mechanism, Origin, Reason, explain,
    gss::{
        Acceptor, Context, GssError, Progress, principal,
        token::{TicketHead, Token},
    },
    inner::{Failure, Inner},
};

/// Most messages of one exchange; SPNEGO needs three.
const MAX_MESSAGES: u8 = 10;

/// One exchange.
pub(crate) struct Kerberos {
    inner: Arc<Inner>,
    acceptor: Arc<Acceptor>,
    mechanism: Mechanism,
    origin: Origin,
    phase: Phase,
    messages: u8,
    /// The AP-REQ, for explanations; what stands on its ticket, once it was checked to be for us.
    ap_req: Option<Vec<u8>>,
    head: Option<TicketHead>,
    /// Who it is, once known.
    principal: String,
    account: Option<Arc<Account>>,
}

enum Phase {
    /// Establishing the context.
    Establish(Box<Context>),
    /// The context stands and the client was sent its last token: an empty message is next.
    Offer(Box<Context>),
    /// The client chooses a layer.
    Choose(Box<Context>),
    Over,
}

impl Kerberos {
    pub(crate) fn new(
        inner: Arc<Inner>,
        acceptor: Arc<Acceptor>,
        mechanism: Mechanism,
        origin: Origin,
    ) -> Self {
        let context = Context::new(acceptor.clone(), origin.channel_binding.as_deref());
        let phase = Phase::Establish(Box::new(context));
        let (ap_req, head, principal, account) = (None, None, String::new(), None);
        Self {
            inner,
            acceptor,
            mechanism,
            origin,
            phase,
            messages: 0,
            ap_req,
            head,
            principal,
            account,
        }
    }

    /// Takes the client's next message.
    pub(crate) async fn step(&mut self, input: &[u8]) -> Step {
        match self.advance(input).await {
            Ok(step) => {
                if let Step::Done { identity, .. } = &step {
                    self.inner.accepted(identity, &self.origin);
                }
                step
            }
            Err(reason) => Step::Failed(self.refuse(reason)),
        }
    }

    async fn advance(&mut self, input: &[u8]) -> Result<Step, Reason> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(malformed("too many messages"));
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Establish(context) => self.establish(context, input).await,
            Phase::Offer(context) if input.is_empty() => self.offer(context).await,
            Phase::Offer(_) => Err(malformed("an empty message was expected")),
            Phase::Choose(context) => self.choose(context, input).await,
            Phase::Over => Err(malformed("the exchange is over")),
        }
    }

    async fn establish(&mut self, mut context: Box<Context>, input: &[u8]) -> Result<Step, Reason> {
        self.look_at(input)?;
        let token = input.to_vec();
        let (context, progress) = self
            .blocking(move || {
                let progress = context.step(&token);
                (context, progress)
            })
            .await?;
        let (last, principal) = match progress.map_err(|error| error.reason())? {
            Progress::More(token) => {
                self.phase = Phase::Establish(context);
                return Ok(Step::Challenge(token));
            }
            Progress::Complete { last, principal } => (last, principal),
        };
        self.principal = principal;
        if self.head.is_none() {
            return Err(malformed("no ticket was seen"));
        }
        let account = principal::account(&*self.inner.people, &self.principal)?;
        self.account = Some(account.clone());
        if self.mechanism != Mechanism::Gssapi {
            return Ok(Step::Done { identity: self.identity(account)?, last });
        }
        match last {
            Some(token) => {
                self.phase = Phase::Offer(context);
                Ok(Step::Challenge(token))
            }
            None => self.offer(context).await,
        }
    }

    /// Refuses what is not Kerberos, and tickets for others, before the library sees them.
    fn look_at(&mut self, input: &[u8]) -> Result<(), Reason> {
        let token = Token::parse(input);
        match token {
            Token::Ntlm | Token::Spnego { kerberos: false, ntlm: true, .. } => {
                return Err(Reason::NotAvailable("NTLM".to_owned()));
            }
            Token::Unknown => return Err(malformed("this is not a Kerberos token")),
            // The library would answer with an empty token and wait.
            Token::Kerberos(None) => return Err(malformed("this is not an AP-REQ")),
            Token::Spnego { .. } | Token::SpnegoAnswer(_)
                if self.mechanism == Mechanism::Gssapi =>
            {
                return Err(malformed("SPNEGO within GSSAPI"));
            }
            Token::Spnego { kerberos: false, .. } => {
                return Err(Reason::NotAvailable("SPNEGO without Kerberos".to_owned()));
            }
            Token::Spnego { .. } | Token::SpnegoAnswer(_) | Token::Kerberos(Some(_)) => {}
        }
        let Some(ap_req) = token.ap_req() else { return Ok(()) };
        self.ap_req = Some(ap_req.to_vec());
        let head = TicketHead::parse(ap_req).ok_or_else(|| malformed("the AP-REQ is damaged"))?;
        let keytab = &self.acceptor.keytab.entries;
        if !principal::is_ours(&head, self.origin.service, &self.inner.options.host, keytab) {
            return Err(Reason::WrongService(crate::failures::escaped(&head.principal())));
        }
        if head.user_to_user {
            return Err(Reason::Kerberos("user-to-user tickets are not taken".to_owned()));
        }
        self.head = Some(head);
        Ok(())
    }

    async fn offer(&mut self, mut context: Box<Context>) -> Result<Step, Reason> {
        let (context, wrapped) = self
            .blocking(move || {
                let wrapped = context.wrap(&layer::OFFER);
                (context, wrapped)
            })
            .await?;
        let wrapped = wrapped.map_err(|error| error.reason())?;
        self.phase = Phase::Choose(context);
        Ok(Step::Challenge(wrapped))
    }

    async fn choose(&mut self, mut context: Box<Context>, input: &[u8]) -> Result<Step, Reason> {
        let input = input.to_vec();
        let answer: Result<_, GssError> = self.blocking(move || context.unwrap(&input)).await?;
        let answer = answer.map_err(|error| Reason::Malformed(error.text))?;
        let authzid = layer::answer(&answer)?;
        let account = self.account.clone().ok_or_else(|| malformed("no account"))?;
        if !authzid.is_empty() && !self.names(authzid, &account) {
            return Err(Reason::NotAuthorized(crate::failures::escaped(authzid)));
        }
        Ok(Step::Done { identity: self.identity(account)?, last: None })
    }

    /// Whether `authzid` is a name of the account.
    fn names(&self, authzid: &str, account: &Account) -> bool {
        let people = &self.inner.people;
        let found = people.login(authzid).or_else(|| people.principal(authzid));
        found.is_some_and(|other| other.id == account.id)
    }

    fn identity(&self, account: Arc<Account>) -> Result<Identity, Reason> {
        self.inner.identity(account, self.mechanism)
    }

    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        self.inner.kerberos.run(work).await.map_err(|_| Reason::Busy)
    }

    fn refuse(&mut self, reason: Reason) -> Reason {
        self.phase = Phase::Over;
        let scene = explain::Scene {
            service: self.origin.service,
            host: &self.inner.options.host,
            keytab: &self.acceptor.keytab.entries,
        };
        let explanation = explain::ticket(&reason, self.ap_req.as_deref(), &scene);
        let failure = Failure {
            reason,
            name: std::mem::take(&mut self.principal),
            account: self.account.take(),
            explanation,
        };
        self.inner.refused(failure, self.mechanism, &self.origin)
    }
}

fn malformed(text: &str) -> Reason {
    Reason::Malformed(text.to_owned())
}
