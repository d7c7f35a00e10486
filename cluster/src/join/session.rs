//! Both sides of joining, without IO.

use super::{
    InviteCode, InviteId, JoinRefusal, JoinRequest, SecretVerifier,
    codec::{self, Knock, MessageError},
};
use crate::authority::{AuthorityError, NodeKey, sha256, verify};

/// Label of the keying material that both ends of one TLS connection, and nobody else, can export (RFC 8446 §7.5).
pub(super) const EXPORTER: &[u8] = b"EXPORTER-posthouse-join";

/// Keying material of the connection.
pub(super) type Exported = [u8; 32];

/// What both signatures are over: this connection, this invite, and all of the request.
fn transcript(exported: &Exported, invite: &InviteId, request: &[u8]) -> Vec<u8> {
    [&b"posthouse join 1"[..], exported, invite, &sha256(request)].concat()
}

/// Why a new node cannot knock.
#[derive(Debug, thiserror::Error)]
pub(super) enum KnockError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Key(#[from] AuthorityError),
}

/// What a new node sends.
pub(super) fn knock(
    code: &InviteCode,
    request: &JoinRequest,
    key: &NodeKey,
    exported: &Exported,
) -> Result<Vec<u8>, KnockError> {
    let request = codec::encode(request)?;
    let transcript = transcript(exported, &code.invite, &request);
    let (proof, possession) = (code.prove(&transcript), key.sign(&transcript)?);
    Ok(codec::encode(&Knock { invite: code.invite, request, proof, possession })?)
}

/// Checks what a new node sent. The secret is checked first: who does not know it learns nothing else.
pub(super) fn judge(
    message: &[u8],
    exported: &Exported,
    verifier: impl FnOnce(&InviteId) -> Option<SecretVerifier>,
) -> Result<(InviteId, JoinRequest), JoinRefusal> {
    let invalid = |error: MessageError| JoinRefusal::Invalid(error.to_string());
    let knock: Knock = codec::decode(message).map_err(invalid)?;
    let verifier = verifier(&knock.invite).ok_or(JoinRefusal::Unknown)?;
    let transcript = transcript(exported, &knock.invite, &knock.request);
    if !verifier.proves(&transcript, &knock.proof) {
        return Err(JoinRefusal::BadProof);
    }
    let request: JoinRequest = codec::decode(&knock.request).map_err(invalid)?;
    codec::check(&request).map_err(|what| JoinRefusal::Invalid(what.into()))?;
    if !verify(&request.public_key, &transcript, &knock.possession) {
        return Err(JoinRefusal::Invalid("it does not have the key that it shows".into()));
    }
    Ok((knock.invite, request))
}
