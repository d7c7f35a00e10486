//! The set-up pages' API (DESIGN §8): opened by the one-time code that only the console shows, for one
//! browser at a time, and closed for good once the node is set up.

mod door;
mod types;

use std::sync::{Arc, OnceLock};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{ApplyError, Checker, Joiner, Opener, apply, apply::unsealed_spec, check_code, join};
use door::{Door, Knock};
use types::{
    ChecksRequest, CodeAnswer, CodeRequest, DirectoryRequest, DoneAnswer, JoinRequest,
    SetupRequest, StateAnswer,
};

/// Largest request body in bytes.
const MAX_BODY: usize = 256 * 1024;
const COOKIE: &str = "__Host-posthouse-setup";

/// What the set-up pages need.
pub struct WebSetup {
    door: Door,
    checker: Checker,
    opener: Arc<dyn Opener>,
    joiner: OnceLock<Arc<dyn Joiner>>,
    version: &'static str,
    suggested_host: String,
    done: watch::Sender<Option<String>>,
    applying: tokio::sync::Mutex<()>,
}

impl WebSetup {
    /// Set-up pages that open with `code`.
    pub fn new(
        code: String,
        checker: Checker,
        opener: Arc<dyn Opener>,
        version: &'static str,
        suggested_host: String,
    ) -> Arc<Self> {
        let clock = Box::new(std::time::Instant::now);
        Arc::new(Self {
            door: Door::new(code, clock),
            checker,
            opener,
            joiner: OnceLock::new(),
            version,
            suggested_host,
            done: watch::Sender::new(None),
            applying: tokio::sync::Mutex::new(()),
        })
    }

    /// Opens the *join a cluster* door. Only the first one counts.
    pub fn join_by(&self, joiner: Arc<dyn Joiner>) {
        let _ = self.joiner.set(joiner);
    }

    /// A new one-time code: 12 characters, 59 bits, easy to type.
    pub fn generate_code() -> String {
        use rand::Rng;
        const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
        let mut random = rand::rng();
        let mut group = || -> String {
            (0..4).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
        };
        format!("{}-{}-{}", group(), group(), group())
    }

    /// Returns when the node is set up: the host name that clients use.
    pub async fn finished(&self) -> String {
        let mut done = self.done.subscribe();
        match done.wait_for(Option::is_some).await {
            Ok(host) => host.clone().unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The API under `/api/v1/setup`.
pub fn router(setup: Arc<WebSetup>) -> Router {
    Router::new()
        .route("/api/v1/setup", get(state))
        .route("/api/v1/setup/code", post(code))
        .route("/api/v1/setup/checks", post(checks))
        .route("/api/v1/setup/directory-test", post(directory_test))
        .route("/api/v1/setup/apply", post(apply_answers))
        .route("/api/v1/setup/join-code", post(join_code))
        .route("/api/v1/setup/join", post(join_cluster))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(setup)
}

type Shared = State<Arc<WebSetup>>;

/// A refusal as the pages show it (RFC 9457).
#[derive(Debug, Serialize)]
struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    remedy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: &str, remedy: &str) -> Self {
        let (message, remedy) = (message.to_owned(), remedy.to_owned());
        Self { status: status.as_u16(), code, message, remedy, field: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        (status, kind, Json(self)).into_response()
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Other sites cannot make a browser send this header.
fn from_our_pages(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get("x-posthouse-request").is_none() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "not from the set-up page",
            "",
        ));
    }
    Ok(())
}

/// Only the browser that gave the code may go on, and only from our own pages: other sites cannot set the header.
fn admit(setup: &WebSetup, headers: &HeaderMap) -> Result<(), Refusal> {
    if setup.done.borrow().is_some() {
        return Err(closed());
    }
    from_our_pages(headers)?;
    match cookie(headers) {
        Some(token) if setup.door.is_inside(token) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "no_code",
            "the set-up code is needed first",
            "type the code that the console shows",
        )),
    }
}

fn closed() -> Refusal {
    Refusal::new(
        StatusCode::GONE,
        "set_up",
        "this node is set up already",
        "sign on as administrator",
    )
}

async fn state(State(setup): Shared, headers: HeaderMap) -> Json<StateAnswer> {
    let done = setup.done.borrow().clone();
    let inside = cookie(&headers).is_some_and(|token| setup.door.is_inside(token));
    Json(match (done, inside) {
        (Some(host), _) => StateAnswer::done(setup.version, &host),
        (None, true) => {
            StateAnswer::form(setup.version, &setup.suggested_host, &setup.checker.data)
        }
        (None, false) => StateAnswer::code(setup.version, setup.door.wait()),
    })
}

async fn code(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<CodeRequest>,
) -> Result<Response, Refusal> {
    if setup.done.borrow().is_some() {
        return Err(closed());
    }
    from_our_pages(&headers)?;
    match setup.door.knock(&request.code, cookie(&headers)) {
        Knock::Open(token) => {
            let value = format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
            let value = HeaderValue::from_str(&value)
                .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "cookie", "", ""))?;
            Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, value)]).into_response())
        }
        Knock::Wrong => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "wrong_code",
            "this is not the code",
            "type the code that the console shows; capital letters do not matter",
        )),
        Knock::InUse => Err(Refusal::new(
            StatusCode::CONFLICT,
            "in_use",
            "another browser is setting this node up",
            "go on there, or restart the node: it then shows a new code",
        )),
        Knock::Wait(seconds) => Err(Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "wait",
            "too many wrong codes",
            &format!("wait {seconds} seconds, then try again"),
        )),
    }
}

async fn checks(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<ChecksRequest>,
) -> Result<Response, Refusal> {
    admit(&setup, &headers)?;
    let checks = setup.checker.run(&request.host, &request.mail_domain).await;
    Ok(Json(checks.iter().map(types::CheckAnswer::from).collect::<Vec<_>>()).into_response())
}

async fn directory_test(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<DirectoryRequest>,
) -> Result<Response, Refusal> {
    admit(&setup, &headers)?;
    let mail_domain = request.mail_domain.clone();
    let answers = request.into_answers();
    let spec =
        unsealed_spec(&answers, posthouse_directory::DomainId(posthouse_directory::fresh_id()));
    match posthouse_sources::preview(&spec, &mail_domain, answers.bind_password.expose()).await {
        Ok(preview) => Ok(Json(types::PreviewAnswer::from(preview)).into_response()),
        Err(error) => {
            let (message, remedy) = (error.to_string(), error.remedy());
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(Refusal::new(status, "directory", &message, remedy))
        }
    }
}

async fn apply_answers(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<SetupRequest>,
) -> Result<Json<DoneAnswer>, Refusal> {
    admit(&setup, &headers)?;
    let Ok(_applying) = setup.applying.try_lock() else {
        return Err(Refusal::new(StatusCode::CONFLICT, "in_use", "set-up is running already", ""));
    };
    let answers = request.into_answers();
    match apply(&answers, setup.opener.as_ref()).await {
        Ok(outcome) => {
            setup.done.send_replace(Some(answers.host.clone()));
            Ok(Json(DoneAnswer::new(&answers, &outcome)))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// Whether a code is one, without asking anybody.
async fn join_code(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<CodeRequest>,
) -> Result<Json<CodeAnswer>, Refusal> {
    admit(&setup, &headers)?;
    let addresses = check_code(&request.code).map_err(|problem| {
        let remedy = "compare it with what `posthouse cluster invite` printed, or copy it again";
        let mut refusal =
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &problem, remedy);
        refusal.field = Some("join".to_owned());
        refusal
    })?;
    Ok(Json(CodeAnswer { addresses }))
}

async fn join_cluster(
    State(setup): Shared,
    headers: HeaderMap,
    Json(request): Json<JoinRequest>,
) -> Result<Json<DoneAnswer>, Refusal> {
    admit(&setup, &headers)?;
    let Some(joiner) = setup.joiner.get() else {
        let remedy = "use `posthouse join` in a terminal";
        let status = StatusCode::NOT_IMPLEMENTED;
        return Err(Refusal::new(status, "closed", "this page cannot join a cluster", remedy));
    };
    let Ok(_applying) = setup.applying.try_lock() else {
        return Err(Refusal::new(StatusCode::CONFLICT, "in_use", "set-up is running already", ""));
    };
    let answers = request.into_answers();
    match join(&answers, joiner.as_ref()).await {
        Ok(outcome) => {
            setup.done.send_replace(Some(answers.host.clone()));
            Ok(Json(DoneAnswer::joined(&answers, &outcome)))
        }
        Err(error) => Err(refusal(&error)),
    }
}

fn refusal(error: &ApplyError) -> Refusal {
    match error {
        ApplyError::Invalid(problems) => {
            let first = problems.first();
            let message = first.map_or("", |p| p.message.as_str());
            let mut refusal = Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                message,
                "correct the answer",
            );
            refusal.field = first.map(|problem| problem.field.clone());
            refusal
        }
        ApplyError::AlreadySetUp => closed(),
        ApplyError::Change(_) | ApplyError::File(_) | ApplyError::Join(_) => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", &error.to_string(), "")
        }
        ApplyError::Open(_) => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "storage",
            &error.to_string(),
            "check the data folder and the log of the node",
        ),
    }
}

#[cfg(test)]
mod tests;
