//! One attempt to hand a message to the hosts of a domain.

use std::net::{IpAddr, SocketAddr};

use posthouse_directory::key;
use posthouse_store::{Envelope, RelayRecipient};

use super::{
    SenderContext,
    client::{Client, HopError, notify, stuffed},
    outcome::{Failure, Outcome},
    resolver::NextHops,
};
use crate::{
    codec::{Address, Response, encode_xtext},
    message::{Header, strip_return_path},
};

/// Most recipients in one transaction (RFC 5321 §4.5.3.1.8 promises 100).
pub(crate) const MAX_RECIPIENTS: usize = 100;
/// Most addresses tried in one attempt.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// A message to be sent to recipients of one domain.
pub(super) struct Job<'a> {
    pub(super) domain: &'a str,
    pub(super) envelope: &'a Envelope,
    pub(super) recipients: Vec<&'a RelayRecipient>,
    pub(super) message: &'a [u8],
    /// Whether this node still looks after the spool.
    pub(super) leads: &'a (dyn Fn() -> bool + Sync),
}

/// Outcomes by position; `None` while another host may still take it.
type Decisions = Vec<Option<Outcome>>;

impl SenderContext {
    /// Tries the hosts of the domain one after the other. One outcome for each recipient, in order.
    pub(super) async fn attempt(&self, job: &Job<'_>) -> Vec<Outcome> {
        let hosts = match self.hosts(job.domain).await {
            Ok(hosts) => hosts,
            Err(outcome) => return vec![outcome; job.recipients.len()],
        };
        let clock = || self.env.clock.monotonic();
        let place = match self.destinations.place(job.domain, clock).await {
            Ok(place) => place,
            Err(failure) => return vec![Outcome::Deferred(failure); job.recipients.len()],
        };
        let mut decisions: Decisions = vec![None; job.recipients.len()];
        let mut last = Failure::own(
            "4.4.4",
            "none of the hosts of the domain has an address that can be used",
        );
        let mut reached = false;
        let mut tries = 0;
        'hosts: for host in &hosts {
            for address in self.addresses(host).await {
                tries += 1;
                if tries > MAX_ADDRESSES || decisions.iter().all(Option::is_some) {
                    break 'hosts;
                }
                match self.connect(address, host).await {
                    Ok(client) => {
                        reached = true;
                        if let Err(failure) = transact(client, host, job, &mut decisions).await {
                            last = failure;
                        }
                    }
                    Err(HopError::Ourselves) => {
                        let failure =
                            Failure::own("5.4.6", "mail for this domain comes back to this host");
                        return vec![Outcome::Failed(failure); job.recipients.len()];
                    }
                    Err(error) => last = unreachable(host, address, &error),
                }
            }
        }
        drop(place);
        match reached {
            true => self.destinations.alive(job.domain),
            false => self.destinations.dead(job.domain, self.env.clock.monotonic(), &last),
        }
        decisions
            .into_iter()
            .map(|decision| decision.unwrap_or_else(|| Outcome::Deferred(last.clone())))
            .collect()
    }

    async fn hosts(&self, domain: &str) -> Result<Vec<String>, Outcome> {
        if domain.starts_with('[') {
            return Ok(vec![domain.to_owned()]);
        }
        let failed = |status: &str, text: &str| Err(Outcome::Failed(Failure::own(status, text)));
        match self.resolver.next_hops(domain, &self.host).await {
            NextHops::Hosts(hosts) => Ok(hosts),
            NextHops::NullMx => failed("5.1.10", "the domain takes no mail (null MX)"),
            NextHops::NoDomain => {
                failed("5.1.2", "there is no such domain, or it has no mail host")
            }
            NextHops::Loop => failed("5.4.6", "mail for this domain comes back to this host"),
            NextHops::Unavailable(text) => {
                let text = format!("DNS has no answer for the domain at the moment: {text}");
                Err(Outcome::Deferred(Failure::own("4.4.3", text)))
            }
        }
    }

    /// Addresses of a host that mail may be sent to. Loopback is this node itself, unless a test sends to another port.
    async fn addresses(&self, host: &str) -> Vec<SocketAddr> {
        let port = u16::try_from(self.directory.integer(key::SMTP_REMOTE_PORT)).unwrap_or(25);
        let literal = Address::parse(&format!("x@{host}")).and_then(|path| path.address.literal());
        let addresses = match literal {
            Some(address) => vec![address],
            None => self.resolver.addresses(host).await.unwrap_or_default(),
        };
        let usable = |address: &IpAddr| {
            let address = address.to_canonical();
            let own = address.is_loopback() && port == 25;
            !own && !address.is_unspecified() && !address.is_multicast()
        };
        addresses.into_iter().filter(usable).map(|address| SocketAddr::new(address, port)).collect()
    }

    /// With TLS if it is offered; in clear if it is offered and does not work.
    async fn connect(&self, address: SocketAddr, host: &str) -> Result<Client, HopError> {
        match Client::connect(address, host, &self.host, Some(self.tls.clone())).await {
            Err(HopError::Tls(reason)) => {
                tracing::warn!(target: "warning", host, %address, ?reason, "STARTTLS failed, sending in clear");
                Client::connect(address, host, &self.host, None).await
            }
            result => result,
        }
    }
}

fn unreachable(host: &str, address: SocketAddr, error: &HopError) -> Failure {
    let text = format!("{host} ({address}): {error}");
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    let remote = matches!(error, HopError::Refused(_)).then(|| host.to_owned());
    Failure { status: "4.4.1".to_owned(), text, remote }
}

/// Sends to all undecided recipients over one connection. The error is why the rest stays undecided.
async fn transact(
    mut client: Client,
    host: &str,
    job: &Job<'_>,
    decisions: &mut Decisions,
) -> Result<(), Failure> {
    let message = strip_return_path(job.message);
    let needs = Needs::of(job.envelope, message);
    needs.check(&client, job, decisions);
    let text = stuffed(message);
    let open: Vec<usize> =
        decisions.iter().enumerate().filter(|(_, d)| d.is_none()).map(|(at, _)| at).collect();
    for batch in open.chunks(MAX_RECIPIENTS) {
        if !(job.leads)() {
            decisions.iter_mut().filter(|d| d.is_none()).for_each(|d| *d = Some(Outcome::Untried));
            break;
        }
        let mut transaction =
            Transaction { client: &mut client, host, job, needs: &needs, decisions };
        if let Err(error) = transaction.run(batch, &text).await {
            return Err(Failure {
                status: "4.4.2".into(),
                text: format!("{host}: {error}"),
                remote: None,
            });
        }
    }
    tracing::debug!(target: "debug", host, tls = ?client.tls, "transaction ended");
    client.quit().await;
    if decisions.iter().all(Option::is_some) {
        Ok(())
    } else {
        Err(Failure::own("4.5.0", format!("{host} did not take the message")))
    }
}

/// What the next hop must be able to do.
struct Needs {
    size: u64,
    eight_bit: bool,
    utf8: bool,
}

impl Needs {
    fn of(envelope: &Envelope, message: &[u8]) -> Self {
        let header = Header::parse(message).is_some_and(|header| header.is_international());
        Self {
            size: message.len() as u64,
            eight_bit: !message.is_ascii(),
            utf8: header && envelope.utf8 || !envelope.sender.is_ascii(),
        }
    }

    /// Decides what cannot be sent there: nothing is downgraded.
    fn check(&self, client: &Client, job: &Job<'_>, decisions: &mut Decisions) {
        let extensions = &client.extensions;
        let too_large = extensions.size.is_some_and(|max| self.size > max);
        for (recipient, decision) in
            job.recipients.iter().zip(decisions).filter(|(_, d)| d.is_none())
        {
            let utf8 = self.utf8 || !recipient.address.is_ascii();
            let failure = match () {
                () if too_large => {
                    Failure::own("5.3.4", "the message is too large for the next hop")
                }
                () if utf8 && !extensions.utf8 => Failure::own(
                    "5.6.7",
                    "the next hop does not take international addresses (SMTPUTF8)",
                ),
                () if self.eight_bit && !extensions.eight_bit => {
                    Failure::own("5.6.3", "the next hop does not take 8-bit text (8BITMIME)")
                }
                () => continue,
            };
            *decision = Some(Outcome::Failed(failure));
        }
    }
}

struct Transaction<'a> {
    client: &'a mut Client,
    host: &'a str,
    job: &'a Job<'a>,
    needs: &'a Needs,
    decisions: &'a mut Decisions,
}

impl Transaction<'_> {
    /// MAIL, RCPT for each of `batch`, DATA, and the text if anybody was accepted.
    async fn run(&mut self, batch: &[usize], text: &[u8]) -> Result<(), HopError> {
        let mut commands = vec![self.mail(batch)];
        commands.extend(batch.iter().filter_map(|at| self.rcpt(*at)));
        let mut answers = Vec::new();
        if self.client.extensions.pipelining {
            commands.push("DATA\r\n".to_owned());
            self.client.write(commands.concat().as_bytes()).await?;
            for _ in &commands {
                answers.push(self.client.answer().await?);
            }
        } else {
            for command in &commands {
                answers.push(self.client.command(command).await?);
                if answers.first().is_some_and(|mail| !mail.is_positive()) {
                    break;
                }
            }
        }
        let Some(mail) = answers.first().cloned() else { return Ok(()) };
        if !mail.is_positive() {
            self.decide(batch, &mail, true);
        }
        let mut accepted = Vec::new();
        for (at, answer) in batch.iter().zip(answers.get(1..).unwrap_or_default()) {
            if answer.is_positive() && mail.is_positive() {
                accepted.push(*at);
            } else if mail.is_positive() {
                self.decide(&[*at], answer, answer.code == 421);
            }
        }
        let data = match answers.get(batch.len() + 1).cloned() {
            Some(data) => data,
            None if accepted.is_empty() => return self.reset().await,
            None => self.client.command("DATA\r\n").await?,
        };
        match (data.code, accepted.is_empty()) {
            // RFC 2920 §3.1: the server said yes to nobody and to DATA
            (354, true) => self.client.text(b".\r\n").await.map(drop),
            (354, false) => {
                let verdict = self.text(&accepted, text).await;
                self.decide(&accepted, &verdict, false);
                Ok(())
            }
            (_, true) => self.reset().await,
            (_, false) => {
                self.decide(&accepted, &data, true);
                self.reset().await
            }
        }
    }

    /// The verdict on the text. When the line breaks here nobody knows whether the next hop has the message; it is
    /// tried again later, not at once elsewhere.
    async fn text(&mut self, accepted: &[usize], text: &[u8]) -> Response {
        match self.client.text(text).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::warn!(target: "warning", host = self.host, recipients = accepted.len(), %error,
                    "the line broke before the verdict; the next hop may have the message");
                Response { code: 451, lines: vec![format!("4.4.2 {error}")] }
            }
        }
    }

    async fn reset(&mut self) -> Result<(), HopError> {
        self.client.command("RSET\r\n").await.map(drop)
    }

    /// Records an answer. With `elsewhere` a temporary refusal leaves the recipients to the next host.
    fn decide(&mut self, recipients: &[usize], answer: &Response, elsewhere: bool) {
        let outcome = if answer.is_positive() {
            let host = match &self.client.tls {
                Some(tls) => format!("{} ({tls})", self.host),
                None => self.host.to_owned(),
            };
            Outcome::Sent { host, reports: self.client.extensions.dsn }
        } else {
            let class = if answer.is_permanent() { 5 } else { 4 };
            let failure = Failure {
                status: answer.enhanced().map_or_else(|| format!("{class}.0.0"), str::to_owned),
                text: answer.text(),
                remote: Some(self.host.to_owned()),
            };
            match (answer.is_permanent(), elsewhere) {
                (true, _) => Outcome::Failed(failure),
                (false, true) => return,
                (false, false) => Outcome::Deferred(failure),
            }
        };
        for at in recipients {
            if let Some(decision) = self.decisions.get_mut(*at) {
                *decision = Some(outcome.clone());
            }
        }
    }

    fn mail(&self, batch: &[usize]) -> String {
        let (envelope, extensions) = (self.job.envelope, &self.client.extensions);
        let mut line = format!("MAIL FROM:<{}>", envelope.sender);
        if extensions.size.is_some() {
            line.push_str(&format!(" SIZE={}", self.needs.size));
        }
        if self.needs.eight_bit && extensions.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        let international = |at: &usize| {
            self.job.recipients.get(*at).is_some_and(|recipient| !recipient.address.is_ascii())
        };
        if self.needs.utf8 || batch.iter().any(international) {
            line.push_str(" SMTPUTF8");
        }
        if extensions.dsn {
            if envelope.return_full {
                line.push_str(" RET=FULL");
            }
            if let Some(id) = &envelope.envelope_id {
                line.push_str(&format!(" ENVID={}", encode_xtext(id)));
            }
        }
        line + "\r\n"
    }

    fn rcpt(&self, at: usize) -> Option<String> {
        let recipient = self.job.recipients.get(at)?;
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.client.extensions.dsn {
            line.push_str(&notify(recipient.notify));
            if let Some((kind, original)) =
                recipient.original.as_ref().and_then(|o| o.split_once(';'))
            {
                line.push_str(&format!(" ORCPT={kind};{}", encode_xtext(original)));
            }
        }
        Some(line + "\r\n")
    }
}
