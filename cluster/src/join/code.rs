//! The code that an administrator carries from a member to the new node.
//!
//! Text: groups of six characters of Crockford's base 32 (no I, L, O, U; either case; I and L are read as 1,
//! O as 0) with `-` between; spaces and line breaks count as `-`. The last character of each group checks
//! the group, so that a wrong one is named. Bytes: version (1), number of addresses and each (kind, bytes,
//! port), the first 16 bytes of the authority's fingerprint, invite, secret, and the first 4 bytes of the
//! SHA-256 of all before.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ring::{
    hmac,
    signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use zeroize::{Zeroize, Zeroizing};

use super::InviteId;
use crate::authority::sha256;

const VERSION: u8 = 1;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a group that carry data; one more checks them.
const GROUP: usize = 5;
/// Longest text that is looked at.
const MAX_TEXT: usize = 4096;
/// Most addresses in a code.
const MAX_ADDRESSES: usize = 16;
/// How much of the authority's fingerprint a code has. Who wants to pass for the authority has to find
/// another certificate with the same 128 bits.
const FINGERPRINT: usize = 16;
const CHECKSUM: usize = 4;

/// What an invite gives to a new node. Its text form is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode {
    /// Where members listen (`host:port`).
    pub addresses: Vec<String>,
    /// First bytes of the SHA-256 of the authority's certificate.
    pub authority: [u8; FINGERPRINT],
    /// Which invite.
    pub invite: InviteId,
    secret: Zeroizing<[u8; 16]>,
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteCode for {:?}", self.addresses)
    }
}

/// Why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code has.
    #[error("{0:?} is in no code: look at group {1}")]
    Character(char, usize),
    /// A group does not fit its check character.
    #[error("a character was altered or left out: look at group {0}")]
    Group(usize),
    /// The groups are right, but do not belong together.
    #[error("the code was altered: groups are missing, doubled or of another code")]
    Altered,
    /// Nothing was given, or far too much.
    #[error("this is not a code of `posthouse cluster invite`")]
    NotACode,
    /// Made by a newer program.
    #[error("the code was made by a newer program: install the same version here")]
    Newer,
}

impl InviteCode {
    /// A new code for a new invite. At most 16 addresses count; each is `host:port`.
    pub fn new(
        addresses: Vec<String>,
        authority: &[u8; 32],
        invite: InviteId,
        secret: [u8; 16],
    ) -> Self {
        let mut short = [0; FINGERPRINT];
        short.copy_from_slice(&authority[..FINGERPRINT]);
        Self { addresses, authority: short, invite, secret: Zeroizing::new(secret) }
    }

    /// What the directory stores of the secret.
    pub fn verifier(&self) -> SecretVerifier {
        let mut public = [0; 32];
        public.copy_from_slice(self.key().public_key().as_ref());
        SecretVerifier(public)
    }

    /// Whether a certificate (DER) is that of the authority which the code names.
    pub(super) fn is_of(&self, authority: &[u8]) -> bool {
        sha256(authority).starts_with(&self.authority)
    }

    /// Proves the secret for `transcript`.
    pub(super) fn prove(&self, transcript: &[u8]) -> Vec<u8> {
        self.key().sign(transcript).as_ref().to_vec()
    }

    /// The key that the secret stands for; the invite's number goes in, so that equal secrets differ.
    fn key(&self) -> Ed25519KeyPair {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.secret);
        let context = [&b"posthouse invite 1"[..], &self.invite].concat();
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(hmac::sign(&key, &context).as_ref());
        #[expect(
            clippy::expect_used,
            reason = "any 32 bytes are a seed of Ed25519 (RFC 8032 §5.1.5)"
        )]
        Ed25519KeyPair::from_seed_unchecked(&*seed).expect("a seed of 32 bytes")
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        let addresses = self.addresses.get(..MAX_ADDRESSES).unwrap_or(&self.addresses);
        bytes.push(addresses.len() as u8);
        for address in addresses {
            write_address(address, &mut bytes);
        }
        for part in [&self.authority, &self.invite, &*self.secret] {
            bytes.extend_from_slice(part);
        }
        let sum = sha256(&bytes);
        bytes.extend_from_slice(&sum[..CHECKSUM]);
        bytes
    }
}

fn write_address(address: &str, bytes: &mut Vec<u8>) {
    match address.parse() {
        Ok(SocketAddr::V4(v4)) => {
            bytes.push(4);
            bytes.extend_from_slice(&v4.ip().octets());
            bytes.extend_from_slice(&v4.port().to_be_bytes());
        }
        Ok(SocketAddr::V6(v6)) => {
            bytes.push(6);
            bytes.extend_from_slice(&v6.ip().octets());
            bytes.extend_from_slice(&v6.port().to_be_bytes());
        }
        Err(_) => {
            let name = address.get(..address.len().min(255)).unwrap_or_default();
            bytes.extend_from_slice(&[0, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
}

/// Reads bytes of a code; everything in it has been checked by its sum.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], CodeError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(CodeError::Altered)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodeError> {
        self.take(N)?.try_into().map_err(|_| CodeError::Altered)
    }

    fn address(&mut self) -> Result<String, CodeError> {
        let [kind] = self.array()?;
        let ip: IpAddr = match kind {
            4 => Ipv4Addr::from(self.array::<4>()?).into(),
            6 => Ipv6Addr::from(self.array::<16>()?).into(),
            0 => {
                let [length] = self.array()?;
                let name = std::str::from_utf8(self.take(length.into())?);
                return name.map(str::to_owned).map_err(|_| CodeError::Altered);
            }
            _ => return Err(CodeError::Newer),
        };
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)).to_string())
    }
}

/// The check character of a group: each place has its own factor in GF(32), so that one wrong character
/// and two swapped ones are always noticed.
fn check(group: &[u8]) -> u8 {
    let mut sum = 0;
    for &value in group {
        sum = double(sum ^ value);
    }
    sum
}

/// Times x in GF(32), modulo x^5 + x^2 + 1.
fn double(value: u8) -> u8 {
    let doubled = value << 1;
    if doubled & 0x20 == 0 { doubled } else { doubled ^ 0x25 }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = values(&self.bytes());
        for (at, group) in values.chunks(GROUP).enumerate() {
            let separator = if at == 0 { "" } else { "-" };
            f.write_str(separator)?;
            for value in group.iter().copied().chain([check(group)]) {
                let letter = ALPHABET.get(usize::from(value)).copied().unwrap_or(b'0');
                write!(f, "{}", char::from(letter))?;
            }
        }
        values.zeroize();
        Ok(())
    }
}

/// Bytes as values of five bits, the last filled with zeros.
fn values(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::with_capacity(bytes.len() * 8 / 5 + 1), 0u32, 0);
    for &byte in bytes {
        held = (held << 8 | u32::from(byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push((held >> bits) as u8 & 31);
        }
    }
    if bits > 0 {
        out.push((held << (5 - bits)) as u8 & 31);
    }
    out
}

/// The value of a character; nothing for separators.
fn value(character: char, group: usize) -> Result<Option<u8>, CodeError> {
    let upper = match character.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        '-' => return Ok(None),
        c if c.is_whitespace() => return Ok(None),
        c => c,
    };
    let at = ALPHABET.iter().position(|&letter| char::from(letter) == upper);
    at.map(|at| Some(at as u8)).ok_or(CodeError::Character(character, group))
}

impl FromStr for InviteCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_TEXT {
            return Err(CodeError::NotACode);
        }
        let mut all = Zeroizing::new(Vec::new());
        for character in text.trim().chars() {
            let group = all.len() / (GROUP + 1) + 1;
            all.extend(value(character, group)?);
        }
        let (mut bytes, mut held, mut bits) = (Zeroizing::new(Vec::new()), 0u32, 0);
        for (at, group) in all.chunks(GROUP + 1).enumerate() {
            let (last, values) = group.split_last().ok_or(CodeError::Altered)?;
            if values.is_empty() || check(values) != *last {
                return Err(CodeError::Group(at + 1));
            }
            for value in values {
                held = (held << 5 | u32::from(*value)) & 0xffff;
                bits += 5;
                if bits >= 8 {
                    bits -= 8;
                    bytes.push((held >> bits) as u8);
                }
            }
        }
        read(&bytes)
    }
}

fn read(bytes: &[u8]) -> Result<InviteCode, CodeError> {
    let body = bytes.len().checked_sub(CHECKSUM).filter(|body| *body > 0);
    let (body, sum) =
        bytes.split_at_checked(body.ok_or(CodeError::NotACode)?).ok_or(CodeError::NotACode)?;
    if sha256(body)[..CHECKSUM] != *sum {
        return Err(CodeError::Altered);
    }
    let mut reader = Reader(body);
    let [version, count] = reader.array()?;
    if version != VERSION {
        return Err(CodeError::Newer);
    }
    if usize::from(count) > MAX_ADDRESSES {
        return Err(CodeError::Altered);
    }
    let addresses = (0..count).map(|_| reader.address()).collect::<Result<_, _>>()?;
    let code = InviteCode {
        addresses,
        authority: reader.array()?,
        invite: reader.array()?,
        secret: Zeroizing::new(reader.array()?),
    };
    reader.0.is_empty().then_some(code).ok_or(CodeError::Altered)
}

/// What the directory stores of an invite's secret: the public half of a key that is derived from it. It
/// proves the secret and lets nobody join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecretVerifier(pub [u8; 32]);

impl SecretVerifier {
    /// Whether `proof` was made with the secret for `transcript`.
    pub(super) fn proves(&self, transcript: &[u8], proof: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::ED25519, self.0).verify(transcript, proof).is_ok()
    }
}
