//! `posthouse demo users`: fills a domain for tests and trials.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use posthouse_cluster::{GroupId, Timestamp};
use posthouse_directory::{
    Account, AccountId, Change, Domain, Kind, Listing, Origin, PasswordVerifier, Person,
    State as AccountState, StoreId, User, fresh_id,
};
use posthouse_store::{Flags, MailboxId, Message, NewItem, Request, Response as StoreResponse};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    demo_names::{DEPARTMENT, GIVEN, MESSAGES, SURNAME},
    users,
};
use crate::{Caller, Context, Input, Problem};

/// Most users of one request.
const MAX: u32 = 100_000;
/// Users that are made in one change.
const BATCH: u32 = 100;

/// How many users to make.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DemoInput {
    /// How many, up to 100,000.
    count: u32,
    /// In which domain; the primary one if missing.
    #[serde(default)]
    domain: Option<Uuid>,
}

/// One line of the answer.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct DemoProgress {
    /// Users made so far.
    done: u32,
    /// Users to make.
    total: u32,
    /// Whether this is the last line.
    finished: bool,
    /// The password of all of them, chosen at random; only in the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Makes users with names, departments and a few messages each. The answer is a line of JSON per step (NDJSON). Ends when
/// the caller hangs up.
#[utoipa::path(post, path = "/demo/users", tag = "demo", request_body = DemoInput,
    responses((status = 200, body = DemoProgress, content_type = "application/x-ndjson")))]
pub(crate) async fn make_demo_users(
    State(context): State<Arc<Context>>,
    caller: Caller,
    Input(input): Input<DemoInput>,
) -> Result<Response, Problem> {
    if !(1..=MAX).contains(&input.count) {
        return Err(Problem::invalid("count", format!("from 1 to {MAX}")));
    }
    let domain = context
        .directory
        .domains()
        .into_iter()
        .find(|domain| input.domain.map_or(domain.primary, |id| domain.id.0 == id))
        .ok_or_else(|| Problem::not_found("domain").field("domain"))?;
    let password = random_password();
    let filler = Filler {
        verifier: context.auth.hash_password(&password).await,
        store: users::new_store(&context),
        total: input.count,
        first: u32::try_from(context.directory.list(&Listing { limit: 1, ..Listing::default() }).1)
            .unwrap_or_default(),
        context,
        caller,
        domain,
        password,
    };
    let lines =
        futures_util::stream::unfold((filler, 0, false), |(filler, done, ended)| async move {
            if ended {
                return None;
            }
            let line = filler.step(done).await;
            let state = (line.done, line.finished || line.problem.is_some());
            let mut text = serde_json::to_vec(&line).unwrap_or_default();
            text.push(b'\n');
            Some((Ok::<_, Infallible>(Bytes::from(text)), (filler, state.0, state.1)))
        });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((StatusCode::OK, kind, Body::from_stream(lines)).into_response())
}

struct Filler {
    context: Arc<Context>,
    caller: Caller,
    domain: Arc<Domain>,
    store: StoreId,
    verifier: PasswordVerifier,
    password: String,
    total: u32,
    /// Number of the first user.
    first: u32,
}

impl Filler {
    async fn step(&self, done: u32) -> DemoProgress {
        let line = DemoProgress { done, total: self.total, ..DemoProgress::default() };
        if done >= self.total {
            return DemoProgress { finished: true, password: Some(self.password.clone()), ..line };
        }
        let end = done.saturating_add(BATCH).min(self.total);
        match self.make(done, end).await {
            Ok(()) => DemoProgress { done: end, ..line },
            Err(problem) => DemoProgress { problem: Some(problem), ..line },
        }
    }

    async fn make(&self, from: u32, to: u32) -> Result<(), Problem> {
        let now = self.context.env.clock.now();
        let accounts: Vec<Account> =
            (from..to).map(|number| self.account(self.free_number(number), now)).collect();
        for account in &accounts {
            users::create_mailbox(&self.context, account).await?;
            self.fill(account, now).await?;
        }
        let puts = accounts.into_iter().map(|account| Change::PutAccount(Box::new(account)));
        let change = Change::All(puts.collect());
        self.context.directory.change(self.caller.actor.clone(), change).await?;
        Ok(())
    }

    /// Numbers go on after the users that are there; one that is taken all the same is passed over.
    fn free_number(&self, number: u32) -> u32 {
        let mut number = self.first + number;
        while self.context.directory.login(&self.address(number)).is_some() {
            number += self.total;
        }
        number
    }

    fn address(&self, number: u32) -> String {
        format!("{}@{}", name(number), self.domain.name)
    }

    fn account(&self, number: u32, now: Timestamp) -> Account {
        let (given, surname) = names(number);
        let person = Person {
            given_name: given.to_owned(),
            surname: surname.to_owned(),
            department: pick(DEPARTMENT, number / 3).to_owned(),
            company: self.domain.name.clone(),
            phone: format!("+49 30 5550 {number:05}"),
            ..Person::default()
        };
        Account {
            id: AccountId(fresh_id()),
            domain: self.domain.id,
            name: name(number),
            display_name: format!("{given} {surname}"),
            addresses: Vec::new(),
            origin: Origin::Local,
            state: AccountState::Enabled,
            published: true,
            description: "demo user".to_owned(),
            kind: Kind::User(User {
                person,
                password: Some(self.verifier.clone()),
                store: Some(self.store),
                ..User::default()
            }),
            created: now,
            changed: now,
        }
    }

    async fn fill(&self, account: &Account, now: Timestamp) -> Result<(), Problem> {
        let address = format!("{}@{}", account.name, self.domain.name);
        let messages = MESSAGES
            .iter()
            .enumerate()
            .map(|(number, (subject, text))| NewItem {
                message: Message(message(&self.domain.name, &address, number, subject, text, now)),
                flags: Flags::default(),
                received: now,
            })
            .collect();
        let request = Request::Append {
            mailbox: MailboxId(account.id.0),
            folder: "INBOX".to_owned(),
            messages,
        };
        let store = GroupId(self.store.0);
        match self.context.stores.request_in(store, request).await? {
            StoreResponse::Refused(refusal) => Err(refusal.into()),
            _ => Ok(()),
        }
    }
}

fn pick(list: &'static [&'static str], number: u32) -> &'static str {
    list.get(number as usize % list.len()).copied().unwrap_or_default()
}

fn names(number: u32) -> (&'static str, &'static str) {
    (pick(GIVEN, number), pick(SURNAME, number / GIVEN.len() as u32))
}

fn name(number: u32) -> String {
    let (given, surname) = names(number);
    format!("{given}.{surname}.{number}").to_lowercase()
}

/// A message (RFC 5322).
fn message(
    domain: &str,
    to: &str,
    number: usize,
    subject: &str,
    text: &str,
    now: Timestamp,
) -> Bytes {
    let id = fresh_id();
    let date = date(now);
    Bytes::from(format!(
        "From: Demo {number} <demo-{number}@{domain}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\n\
         Message-ID: <{id}@{domain}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         Hello,\r\n\r\n{text}\r\n\r\nRegards\r\nDemo {number}\r\n"
    ))
}

/// RFC 5322 §3.3, always UTC.
fn date(at: Timestamp) -> String {
    i64::try_from(at.seconds())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc2822).ok())
        .unwrap_or_default()
}

fn random_password() -> String {
    const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let pick = || ALPHABET.get(rand::random_range(0..ALPHABET.len())).copied().unwrap_or(b'x');
    (0..16).map(|_| char::from(pick())).collect()
}
