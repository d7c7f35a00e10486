//! Port 80: everything is elsewhere.

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Sends every request to the same path under HTTPS at `host`, never to the host that the request names:
/// that one is anybody's choice. `port` is left out when it is 443.
pub fn redirect_to_https(host: &str, port: u16) -> Router {
    let base =
        if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") };
    Router::new().fallback(move |request: Request| {
        let base = base.clone();
        async move { redirect(&base, &request) }
    })
}

fn redirect(base: &str, request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{base}{path}"))]).into_response()
}
