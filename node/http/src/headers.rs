//! Security headers, and what a request that changes something must carry.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::Response,
};

use crate::Problem;

/// Requests that change something and are let in by a cookie carry this header. A page of another origin
/// cannot send it without asking first (Fetch §3.2.2), and nobody here says yes.
pub const REQUEST_HEADER: &str = "x-posthouse-request";

/// The policy of everything that is not a page: nothing may be done with it.
const API_POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Headers of every answer. HSTS without subdomains: they may be anybody's.
const FIXED: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
];

/// The policy of the pages. Only the styles that the component library makes at run time carry the nonce.
pub(crate) fn page_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self'"
    )
}

/// Adds the headers that an answer does not have yet.
pub(crate) async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(API_POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests that a page of another origin made the browser send (CSRF).
pub(crate) fn check_same_origin(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\0"));
    let site = text("sec-fetch-site");
    let host = uri.authority().map(|a| a.as_str()).or_else(|| text("host")).unwrap_or_default();
    let foreign_origin = text("origin").is_some_and(|origin| {
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) != Some(host)
    });
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let refused = matches!(site, Some("cross-site" | "same-site"))
        || (changes && (foreign_origin || text(REQUEST_HEADER).is_none()));
    if refused {
        tracing::warn!(target: "security", %method, path = ?uri.path(), "request of another origin refused");
        return Err(Problem::forbidden("the request does not come from these pages")
            .remedy("Requests that change something carry the header X-Posthouse-Request: 1."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_origins_are_refused() {
        let ok = &[("x-posthouse-request", "1"), ("origin", "https://mail.example.test")][..];
        for (method, extra, allowed) in [
            ("GET", &[][..], true),
            ("GET", &[("sec-fetch-site", "none")], true),
            ("GET", &[("sec-fetch-site", "same-origin")], true),
            ("GET", &[("sec-fetch-site", "cross-site")], false),
            ("GET", &[("sec-fetch-site", "same-site")], false),
            ("POST", &[], false),
            ("POST", &[("origin", "https://mail.example.test")], false),
            ("POST", &[("x-posthouse-request", "1")], true),
            ("POST", ok, true),
            ("DELETE", ok, true),
            ("POST", &[("x-posthouse-request", "1"), ("origin", "https://evil.example")], false),
            ("POST", &[("x-posthouse-request", "1"), ("origin", "null")], false),
            (
                "POST",
                &[
                    ("x-posthouse-request", "1"),
                    ("origin", "https://mail.example.test.evil.example"),
                ],
                false,
            ),
            ("POST", &[("x-posthouse-request", "1"), ("sec-fetch-site", "cross-site")], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("mail.example.test"));
            for (name, value) in extra {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let uri = Uri::from_static("/api/v1/users");
            let result = check_same_origin(&method.parse().unwrap(), &uri, &headers);
            assert_eq!(result.is_ok(), allowed, "{method} {extra:?}");
        }
    }
}
