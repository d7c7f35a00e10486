//! The pages: static files built into the program, and what surrounds every router.

use std::{sync::LazyLock, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rust_embed::{Embed, EmbeddedFile};
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate},
    },
    timeout::{RequestBodyTimeoutLayer, TimeoutLayer},
};

use crate::{API_PREFIX, Problem, headers};

/// Largest request body in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// Longest time until an answer starts.
const ANSWER: Duration = Duration::from_secs(120);

/// Longest silence within a request body.
const BODY_SILENCE: Duration = Duration::from_secs(20);

#[derive(Embed)]
#[folder = "../web/dist"]
struct Files;

/// What the page has in place of the nonce; replaced in every answer.
const NONCE: &str = "posthouse-nonce";

static INDEX: LazyLock<String> = LazyLock::new(|| {
    Files::get("index.html")
        .and_then(|file| String::from_utf8(file.data.into_owned()).ok())
        .unwrap_or_else(|| "<!doctype html><title>Posthouse</title>".to_owned())
});

/// Puts the pages, the security headers and the limits around an API. Paths that the API does not know are
/// files, or else the start page, which finds its way by itself.
pub fn pages(api: Router) -> Router {
    let compress =
        DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson"));
    api.fallback(file)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(RequestBodyTimeoutLayer::new(BODY_SILENCE))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER))
        .layer(CompressionLayer::new().compress_when(compress))
        .layer(middleware::from_fn(headers::add))
        .layer(middleware::from_fn(count))
}

async fn count(request: Request, next: middleware::Next) -> Response {
    let response = next.run(request).await;
    let class = match response.status().as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("posthouse_http_responses_total", "class" => class).increment(1);
    response
}

async fn file(method: Method, uri: Uri, request_headers: HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with(API_PREFIX) {
        return Problem::not_found("operation").into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let name = path.trim_start_matches('/');
    match Files::get(name) {
        Some(_) if name == "index.html" => index(),
        Some(file) => asset(name, &file, &request_headers),
        None if name.starts_with("assets/") => StatusCode::NOT_FOUND.into_response(),
        None => index(),
    }
}

fn index() -> Response {
    let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
    let Ok(policy) = HeaderValue::from_str(&headers::page_policy(&nonce)) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, INDEX.replace(NONCE, &nonce)).into_response()
}

/// Names under `assets/` hold a hash of the content, so they may be kept for ever.
fn asset(name: &str, file: &EmbeddedFile, request: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", STANDARD.encode(file.metadata.sha256_hash()));
    let keep = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=3600"
    };
    let same = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let fixed = [(header::ETAG, tag), (header::CACHE_CONTROL, keep.to_owned())];
    if same {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    (fixed, [(header::CONTENT_TYPE, kind.to_string())], file.data.to_vec()).into_response()
}
