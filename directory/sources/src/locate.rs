//! Which controllers there are, and their addresses.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{TokioResolver, proto::rr::RData};
use posthouse_directory::{SourceSpec, SourceTls};
use tokio::time::timeout;

use crate::SourceError;

/// Longest wait for DNS.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// Most controllers that are tried.
const MAX_CONTROLLERS: usize = 16;
/// Most addresses of one controller that are tried.
const MAX_ADDRESSES: usize = 8;

/// A controller to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    /// Its DNS name, which its certificate must have.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl std::fmt::Display for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Controller {
    /// `host` or `host:port`; an IPv6 address with a port stands in brackets.
    fn parse(text: &str, tls: SourceTls) -> Self {
        let default = port(tls);
        let text = text.trim();
        if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
            let port = rest.strip_prefix(':').and_then(|p| p.parse().ok()).unwrap_or(default);
            return Self { host: host.to_owned(), port };
        }
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => {
                Self { host: host.to_owned(), port: port.parse().unwrap_or(default) }
            }
            _ => Self { host: text.to_owned(), port: default },
        }
    }
}

fn port(tls: SourceTls) -> u16 {
    match tls {
        SourceTls::Ldaps => 636,
        SourceTls::StartTls => 389,
    }
}

fn resolver() -> Result<TokioResolver, String> {
    TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(|e| e.to_string())
}

/// Listed controllers, or those that DNS names by priority and weight (RFC 2782, MS-ADTS §6.3.2.3).
pub(crate) async fn controllers(spec: &SourceSpec) -> Result<Vec<Controller>, SourceError> {
    let listed = spec.controllers.iter().filter(|c| !c.trim().is_empty());
    let mut found: Vec<_> = listed.map(|c| Controller::parse(c, spec.tls)).collect();
    if found.is_empty() {
        found = by_srv(spec).await?;
    }
    found.truncate(MAX_CONTROLLERS);
    Ok(found)
}

async fn by_srv(spec: &SourceSpec) -> Result<Vec<Controller>, SourceError> {
    let none =
        |cause: String| SourceError::NoControllers { domain: spec.directory_domain.clone(), cause };
    let resolver = resolver().map_err(none)?;
    let query = format!("_ldap._tcp.{}.", spec.directory_domain.trim_end_matches('.'));
    let answer = timeout(DNS_TIMEOUT, resolver.srv_lookup(query))
        .await
        .map_err(|_| none("DNS did not answer in time".into()))?
        .map_err(|e| none(e.to_string()))?;
    let mut records: Vec<_> = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some((srv.priority, u16::MAX - srv.weight, srv.target.to_utf8())),
            _ => None,
        })
        .collect();
    records.sort();
    let port = port(spec.tls);
    let named = records.len();
    let found: Vec<_> = records
        .into_iter()
        .filter(|(_, _, host)| spec.is_controller_name(host))
        .map(|(_, _, host)| Controller { host: host.trim_end_matches('.').to_owned(), port })
        .collect();
    match (found.is_empty(), named) {
        (false, _) => Ok(found),
        (true, 0) => Err(none("DNS has no such records".into())),
        (true, _) => {
            Err(none("DNS names only hosts of other domains: list the controllers".into()))
        }
    }
}

/// The addresses of a controller.
pub(crate) async fn addresses(controller: &Controller) -> Result<Vec<SocketAddr>, SourceError> {
    if let Ok(ip) = controller.host.parse() {
        return Ok(vec![SocketAddr::new(ip, controller.port)]);
    }
    let unknown =
        |cause: String| SourceError::HostNotFound { host: controller.host.clone(), cause };
    let resolver = resolver().map_err(unknown)?;
    let answer = timeout(DNS_TIMEOUT, resolver.lookup_ip(controller.host.as_str()))
        .await
        .map_err(|_| unknown("DNS did not answer in time".into()))?
        .map_err(|e| unknown(e.to_string()))?;
    let found = answer.iter().take(MAX_ADDRESSES);
    Ok(found.map(|ip| SocketAddr::new(ip, controller.port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_listed_with_or_without_port() {
        for (text, tls, host, port) in [
            ("dc1.ad.test", SourceTls::Ldaps, "dc1.ad.test", 636),
            ("dc1.ad.test", SourceTls::StartTls, "dc1.ad.test", 389),
            (" dc1.ad.test:1636 ", SourceTls::Ldaps, "dc1.ad.test", 1636),
            ("2001:db8::1", SourceTls::Ldaps, "2001:db8::1", 636),
            ("[2001:db8::1]:3269", SourceTls::Ldaps, "2001:db8::1", 3269),
            ("[2001:db8::1]", SourceTls::Ldaps, "2001:db8::1", 636),
        ] {
            let want = Controller { host: host.into(), port };
            assert_eq!(Controller::parse(text, tls), want, "{text}");
        }
    }
}
