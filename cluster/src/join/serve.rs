//! The member's side.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{
    Door, InviteId, JoinRefusal, JoinRequest,
    codec::{self, Answer, MAX_KNOCK},
    session::{self, EXPORTER, Exported},
    wire,
};
use crate::Environment;

/// How long admitting a node may take: a change of the directory, agreed by a majority.
const ADMIT: Duration = Duration::from_secs(30);
/// How long an answer may take to arrive.
const ANSWER: Duration = Duration::from_secs(5);

/// A new node that has proven its invite's secret.
pub(crate) struct Knocked {
    stream: TlsStream<TcpStream>,
    door: Arc<dyn Door>,
    invite: InviteId,
    request: JoinRequest,
    from: SocketAddr,
}

/// Hears a new node. Who does not prove the secret is told so and gone.
pub(crate) async fn hear(
    mut stream: TlsStream<TcpStream>,
    door: Arc<dyn Door>,
    from: SocketAddr,
) -> Option<Knocked> {
    let exported = stream.get_ref().1.export_keying_material(Exported::default(), EXPORTER, None);
    let message = wire::read(&mut stream, MAX_KNOCK).await.ok()?;
    match session::judge(&message, &exported.ok()?, |invite| door.verifier(invite)) {
        Ok((invite, request)) => Some(Knocked { stream, door, invite, request, from }),
        Err(refusal) => {
            // anybody can name an invite that does not exist, so that must not fill the log
            if refusal == JoinRefusal::Unknown {
                tracing::debug!(target: "debug", %from, why = %refusal, "a node was not heard");
            } else {
                tracing::warn!(target: "security", %from, why = ?refusal, "a node was not heard");
            }
            answer(&mut stream, &Err(refusal)).await;
            None
        }
    }
}

impl Knocked {
    /// Lets the door decide, and answers.
    pub(crate) async fn admit(self, env: &Environment) {
        let Self { mut stream, door, invite, request, from } = self;
        let host = request.host.clone();
        let decided = tokio::select! {
            decided = door.admit(invite, request, from) => decided,
            () = env.clock.sleep(ADMIT) => {
                Err(JoinRefusal::NotNow(format!("the cluster did not agree within {ADMIT:?}")))
            }
        };
        match &decided {
            Ok(admission) => {
                tracing::info!(target: "security", %from, ?host, node = %admission.node, "a node was admitted");
            }
            Err(refusal) => {
                tracing::warn!(target: "security", %from, ?host, why = ?refusal, "a node was not admitted");
            }
        }
        tokio::select! {
            () = answer(&mut stream, &decided) => {}
            () = env.clock.sleep(ANSWER) => {}
        }
    }
}

/// Sends the answer and waits until the other side has closed: it has read it then.
async fn answer(stream: &mut TlsStream<TcpStream>, answer: &Answer) {
    let Ok(message) = codec::encode(answer).map(zeroize::Zeroizing::new) else { return };
    if wire::write(stream, &message).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read(&mut [0]).await;
    }
}
