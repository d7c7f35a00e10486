//! The new node's side.

use std::{io, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

use super::{
    Admission, InviteCode, JoinRefusal, JoinRequest,
    codec::{self, Answer, MAX_ANSWER},
    session::{self, EXPORTER, Exported},
    trust::{self, Cluster},
    wire,
};
use crate::{
    Environment,
    authority::{Identified, NodeKey, Problem, identify},
    link::tls,
};

/// For a connection and its handshake, per address.
const CONNECT: Duration = Duration::from_secs(5);
/// For the answer: the cluster has to agree.
const ANSWER: Duration = Duration::from_secs(60);

/// Why a node does not get in. The texts are for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No address of the code answers.
    #[error(
        "no member of the cluster can be reached ({0}): check that this machine reaches the port for nodes (4041) of a member"
    )]
    Unreachable(String),
    /// What answers is not the cluster that made the code.
    #[error(
        "what answers at {0} is not the cluster that made the code, so nothing was told to it: its authority was renewed since (make a new code), or another cluster has the address now, or somebody stands in between"
    )]
    OtherCluster(String),
    /// The certificate's dates do not fit this machine's clock.
    #[error("the clock of this machine or of the member at {0} is wrong: {1}")]
    Clock(String, String),
    /// A member said no.
    #[error(transparent)]
    Refused(JoinRefusal),
    /// The answer makes no sense to this program.
    #[error("{0} answered what this program does not understand ({1}): install the same version")]
    Protocol(String, String),
    /// Something on this machine.
    #[error("this node cannot knock: {0}")]
    Local(String),
}

impl JoinError {
    /// Of several errors the one that says most is told.
    fn weight(&self) -> u8 {
        match self {
            Self::Refused(_) => 5,
            Self::Clock(..) => 4,
            Self::OtherCluster(_) => 3,
            Self::Protocol(..) => 2,
            Self::Local(_) => 1,
            Self::Unreachable(_) => 0,
        }
    }

    /// Whether another member could decide otherwise.
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused(refusal) if !matches!(refusal, JoinRefusal::NotNow(_)))
    }
}

/// Asks the members of a code to admit this node: tries one address after the other until one of them decides.
/// Repeating it with the same key is harmless.
pub async fn knock(
    env: &Environment,
    code: &InviteCode,
    mut request: JoinRequest,
    key: &NodeKey,
) -> Result<Admission, JoinError> {
    request.public_key = key.public_key().to_vec();
    let mut worst: Option<JoinError> = None;
    let mut unreachable = Vec::new();
    for address in &code.addresses {
        match knock_at(env, code, &request, key, address).await {
            Ok(admission) => return Ok(admission),
            Err(error) if error.is_final() => return Err(error),
            Err(JoinError::Unreachable(why)) => unreachable.push(format!("{address}: {why}")),
            Err(error) => {
                tracing::warn!(target: "operation", ?address, why = ?error.to_string(), "not admitted");
                if worst.as_ref().is_none_or(|worst| worst.weight() < error.weight()) {
                    worst = Some(error);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| JoinError::Unreachable(unreachable.join("; "))))
}

async fn knock_at(
    env: &Environment,
    code: &InviteCode,
    request: &JoinRequest,
    key: &NodeKey,
    address: &str,
) -> Result<Admission, JoinError> {
    let connected = tokio::select! {
        connected = connect(env, code, address) => connected?,
        () = env.clock.sleep(CONNECT) => {
            return Err(JoinError::Unreachable(format!("no answer within {CONNECT:?}")));
        }
    };
    let admission = tokio::select! {
        answer = ask(connected, code, request, key, address) => answer?,
        () = env.clock.sleep(ANSWER) => {
            return Err(JoinError::Unreachable(format!("no decision within {ANSWER:?}")));
        }
    };
    check(env, code, key, &admission)
        .map_err(|why| JoinError::Protocol(address.into(), why.into()))?;
    Ok(admission)
}

async fn connect(
    env: &Environment,
    code: &InviteCode,
    address: &str,
) -> Result<TlsStream<TcpStream>, JoinError> {
    let local = |error: &dyn std::fmt::Display| JoinError::Local(error.to_string());
    let unreachable = |error: io::Error| JoinError::Unreachable(error.to_string());
    let cluster = Cluster::of(env, code);
    let config = trust::config(Arc::clone(&cluster)).map_err(|error| local(&error))?;
    let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
    let name = ServerName::try_from("node.invalid").map_err(|error| local(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    let stream = stream.map_err(|error| match cluster.problem() {
        Some(problem @ (Problem::Expired { .. } | Problem::NotYet { .. })) => {
            JoinError::Clock(address.into(), problem.to_string())
        }
        Some(_) => JoinError::OtherCluster(address.into()),
        None => trust::failed(address, &error),
    })?;
    // without it something else than a node may have answered
    if stream.get_ref().1.alpn_protocol() != Some(tls::JOIN) {
        return Err(JoinError::Protocol(address.into(), "no protocol was agreed".into()));
    }
    Ok(stream)
}

async fn ask(
    mut stream: TlsStream<TcpStream>,
    code: &InviteCode,
    request: &JoinRequest,
    key: &NodeKey,
    address: &str,
) -> Result<Admission, JoinError> {
    let exported = stream.get_ref().1.export_keying_material(Exported::default(), EXPORTER, None);
    let exported = exported.map_err(|error| JoinError::Local(error.to_string()))?;
    let message = session::knock(code, request, key, &exported)
        .map_err(|error| JoinError::Local(error.to_string()))?;
    let unreachable = |error: io::Error| JoinError::Unreachable(error.to_string());
    wire::write(&mut stream, &message).await.map_err(unreachable)?;
    let answer = Zeroizing::new(wire::read(&mut stream, MAX_ANSWER).await.map_err(unreachable)?);
    let answer: Answer = codec::decode(&answer)
        .map_err(|error| JoinError::Protocol(address.into(), error.to_string()))?;
    answer.map_err(JoinError::Refused)
}

/// Whether an admission is one for this node, by the cluster of the code.
pub(super) fn check(
    env: &Environment,
    code: &InviteCode,
    key: &NodeKey,
    admission: &Admission,
) -> Result<(), &'static str> {
    if !admission.authorities.iter().any(|authority| code.is_of(authority)) {
        return Err("the authority of the code is not among those that count");
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(admission.authorities.iter().map(|der| der.clone().into()));
    let certificate = admission.certificate.clone().into();
    match identify(&certificate, &roots, env.clock.now()) {
        Ok(Identified { node, key: hash })
            if node == admission.node && hash == key.public_key_hash() =>
        {
            Ok(())
        }
        _ => Err("the certificate is not one for this node"),
    }
}
