//! Next hops of a domain (RFC 5321 §5.1, RFC 7505).

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};

/// Most MX hosts of a domain that are looked at.
const MAX_HOSTS: usize = 20;
/// Most addresses of one host.
const MAX_ADDRESSES: usize = 8;

/// DNS, as handed in. Cheap to clone.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

/// Where mail for a domain goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextHops {
    /// Hosts, best first; those of equal preference in the order of the answer.
    Hosts(Vec<String>),
    /// A null MX: the domain takes no mail.
    NullMx,
    /// There is no such domain, or it has neither MX nor address.
    NoDomain,
    /// This host is the best next hop: the mail would come back.
    Loop,
    /// DNS has no answer at the moment.
    Unavailable(String),
}

impl Resolver {
    /// With the servers that the system is set up for.
    pub fn system() -> Result<Self, String> {
        let builder = TokioResolver::builder_tokio().map_err(|e| e.to_string())?;
        builder.build().map(Self).map_err(|e| e.to_string())
    }

    /// With one server, for tests and for nodes with a DNS server of their own.
    pub fn at(server: SocketAddr) -> Result<Self, String> {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
        let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider);
        builder.build().map(Self).map_err(|e| e.to_string())
    }

    /// Hosts to try for `domain`; `own` is what this host calls itself.
    pub(crate) async fn next_hops(&self, domain: &str, own: &str) -> NextHops {
        let Some(name) = absolute(domain) else { return NextHops::NoDomain };
        let lookup = match self.0.lookup(name, RecordType::MX).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_nx_domain() => return NextHops::NoDomain,
            Err(error) if is_empty(&error) => return self.implicit(domain, own).await,
            Err(error) => return NextHops::Unavailable(error.to_string()),
        };
        let mut hosts: Vec<(u16, String)> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some((mx.preference, host_name(&mx.exchange))),
                _ => None,
            })
            .collect();
        if hosts.is_empty() {
            return self.implicit(domain, own).await;
        }
        if hosts.iter().all(|(_, host)| host.is_empty()) {
            return NextHops::NullMx;
        }
        hosts.sort_by_key(|(preference, _)| *preference);
        // RFC 5321 §5.1: of the hosts, only those that are better than this one
        let own_preference = hosts.iter().find(|(_, host)| host == own).map(|(p, _)| *p);
        hosts.retain(|(p, host)| !host.is_empty() && own_preference.is_none_or(|own| *p < own));
        hosts.truncate(MAX_HOSTS);
        let hosts: Vec<String> = hosts.into_iter().map(|(_, host)| host).collect();
        if hosts.is_empty() { NextHops::Loop } else { NextHops::Hosts(hosts) }
    }

    /// Without MX the domain itself is the host, if it has an address.
    async fn implicit(&self, domain: &str, own: &str) -> NextHops {
        if domain == own {
            return NextHops::Loop;
        }
        match self.addresses(domain).await {
            Ok(addresses) if addresses.is_empty() => NextHops::NoDomain,
            Ok(_) => NextHops::Hosts(vec![domain.to_owned()]),
            Err(text) => NextHops::Unavailable(text),
        }
    }

    /// Addresses of a host; none if it has none. The error is temporary.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let Some(name) = absolute(host) else { return Ok(Vec::new()) };
        let mut addresses = Vec::new();
        let mut problem = None;
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.0.lookup(name.clone(), kind).await {
                Ok(lookup) => {
                    addresses.extend(lookup.answers().iter().filter_map(
                        |record| match &record.data {
                            RData::A(a) => Some(IpAddr::V4(a.0)),
                            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                            _ => None,
                        },
                    ));
                }
                Err(error) if error.is_nx_domain() || is_empty(&error) => {}
                Err(error) => problem = Some(error.to_string()),
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        match problem {
            Some(problem) if addresses.is_empty() => Err(problem),
            _ => Ok(addresses),
        }
    }
}

/// An answer without records that is not an error of the server.
fn is_empty(error: &NetError) -> bool {
    use hickory_resolver::{net::DnsError, proto::op::ResponseCode};
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError)
}

fn absolute(domain: &str) -> Option<Name> {
    Name::from_ascii(domain).ok().map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

fn host_name(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
