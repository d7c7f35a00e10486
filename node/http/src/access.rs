//! Who asks, and whether they may: the only place where rights are enforced.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use posthouse_auth::Identity;
use posthouse_directory::{Account, Actor, DomainId, Kind, Rights};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Context, Peer, Problem, api, headers};

/// The cookie of a web session. The prefix makes browsers insist on Secure, Path=/ and no Domain.
pub(crate) const COOKIE: &str = "__Host-posthouse";

/// What a caller needs for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Nothing: strangers may ask.
    Nobody,
    /// To be signed on; the operation shows or changes only what is the caller's own.
    SignedOn,
    /// To see accounts: own-domain administrators (theirs), read-only and full ones (all).
    SeeAccounts,
    /// To change accounts: own-domain administrators (theirs) and full ones (all).
    ChangeAccounts,
    /// To read everything: read-only and full administrators.
    Read,
    /// To change everything: full administrators.
    Full,
}

impl Need {
    /// Whether these rights are enough.
    pub fn is_met_by(self, rights: Rights) -> bool {
        match self {
            Self::Nobody | Self::SignedOn => true,
            Self::SeeAccounts => rights >= Rights::OwnDomain,
            Self::ChangeAccounts => matches!(rights, Rights::OwnDomain | Rights::Full),
            Self::Read => rights >= Rights::ReadOnly,
            Self::Full => rights == Rights::Full,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who goes into the audit log.
    pub actor: Actor,
    /// Effective rights.
    pub rights: Rights,
    /// The account; `None` for the command line of this machine.
    pub account: Option<Arc<Account>>,
    /// By which mechanism.
    pub mechanism: String,
}

impl Caller {
    fn command_line() -> Self {
        Self {
            actor: Actor::System("command line".to_owned()),
            rights: Rights::Full,
            account: None,
            mechanism: "local token".to_owned(),
        }
    }

    pub(crate) fn from_identity(identity: Identity) -> Self {
        Self {
            actor: Actor::Account(identity.account.id),
            rights: identity.rights,
            mechanism: identity.mechanism.name().to_owned(),
            account: Some(identity.account),
        }
    }

    /// Refuses who has not what an operation needs.
    pub fn check(&self, need: Need) -> Result<(), Problem> {
        if need.is_met_by(self.rights) {
            return Ok(());
        }
        tracing::warn!(target: "security", actor = ?self.actor, rights = ?self.rights, ?need, "refused: no right");
        Err(Problem::forbidden("you do not have the right to do this"))
    }

    /// The only domain that the caller may see, or `None` for all.
    pub(crate) fn only_domain(&self) -> Option<DomainId> {
        match (self.rights, &self.account) {
            (Rights::OwnDomain, Some(account)) => Some(account.domain),
            _ => None,
        }
    }

    /// Whether accounts of this domain exist for the caller.
    pub(crate) fn sees(&self, domain: DomainId) -> bool {
        self.only_domain().is_none_or(|own| own == domain)
    }

    /// Refuses an own-domain administrator to touch an account that has more rights than he has, by itself or by
    /// its groups (F4.2-4). `effective` are the account's effective rights.
    pub(crate) fn may_change(&self, account: &Account, effective: Rights) -> Result<(), Problem> {
        let own = match &account.kind {
            Kind::User(user) => user.rights,
            Kind::Group(group) => group.rights,
            _ => Rights::None,
        };
        self.may_grant(own.max(effective))
    }

    /// Refuses to hand out more than the caller has.
    pub(crate) fn may_grant(&self, rights: Rights) -> Result<(), Problem> {
        if rights > self.rights {
            return Err(Problem::forbidden(
                "administrators of one domain cannot change or make administrators above themselves",
            ));
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::not_signed_on)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::unknown))
    }
}

/// Lets a request through to its operation, or not. What is not in the table is refused.
pub(crate) async fn enforce(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&context, &request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit(context: &Context, request: &Request) -> Result<Option<Caller>, Problem> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let need = path.and_then(|path| api::need(request.method(), path)).ok_or_else(|| {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "no_such_operation",
            "there is no such operation",
        )
    })?;
    let caller = authenticate(context, request)?;
    if bearer(request).is_none() {
        headers::check_same_origin(request.method(), request.uri(), request.headers())?;
    }
    if need == Need::Nobody {
        return Ok(caller);
    }
    let caller = caller.ok_or_else(Problem::not_signed_on)?;
    caller.check(need)?;
    if path.is_some_and(|path| api::changes_settings(request.method(), path)) {
        api::check_writable(context)?;
    }
    Ok(Some(caller))
}

/// Who sent a request, by cookie or by the token of this machine's command line. A wrong token is an error, a
/// missing or ended session is nobody.
pub(crate) fn authenticate(
    context: &Context,
    request: &Request,
) -> Result<Option<Caller>, Problem> {
    if let Some(token) = bearer(request) {
        let local = request.extensions().get::<Peer>().is_some_and(Peer::is_this_machine);
        if local && context.token.admits(token) {
            return Ok(Some(Caller::command_line()));
        }
        let from = request.extensions().get::<Peer>().map(Peer::address);
        tracing::warn!(target: "security", ?from, "wrong command line token refused");
        return Err(Problem::not_signed_on());
    }
    Ok(session_token(request.headers())
        .and_then(|token| context.auth.session(token))
        .map(Caller::from_identity))
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session token of the request's cookie.
pub(crate) fn session_token(headers: &axum::http::HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_and_rights_f8_1_3() {
        use Rights::{Full, None, OwnDomain, ReadOnly};
        for (need, met_by) in [
            (Need::Nobody, &[None, OwnDomain, ReadOnly, Full][..]),
            (Need::SignedOn, &[None, OwnDomain, ReadOnly, Full]),
            (Need::SeeAccounts, &[OwnDomain, ReadOnly, Full]),
            (Need::ChangeAccounts, &[OwnDomain, Full]),
            (Need::Read, &[ReadOnly, Full]),
            (Need::Full, &[Full]),
        ] {
            for rights in [None, OwnDomain, ReadOnly, Full] {
                assert_eq!(need.is_met_by(rights), met_by.contains(&rights), "{need:?} {rights:?}");
            }
        }
    }
}
