//! Any bytes as what a new node and a member say, and any text as a code. Panics where a promise does not hold.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    InviteCode, JoinRequest, SecretVerifier,
    codec::{self, Answer, Knock},
    session,
};

/// What can be read is written so that it is read the same.
fn again<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Option<T> {
    let read: T = codec::decode(bytes).ok()?;
    let written = codec::encode(&read).ok()?;
    assert!(codec::decode::<T>(&written).is_ok_and(|again| again == read));
    Some(read)
}

/// A message of either side. Whatever it is, nobody gets in with it.
pub(crate) fn message(data: &[u8]) {
    let _ = again::<Answer>(data);
    if let Some(knock) = again::<Knock>(data)
        && let Some(request) = again::<JoinRequest>(&knock.request)
    {
        let _ = codec::check(&request);
    }
    // a point of the curve, so that signatures are really looked at
    let verifier = SecretVerifier([
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07,
        0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07,
        0x51, 0x1a,
    ]);
    assert!(session::judge(data, &[0; 32], |_| Some(verifier)).is_err());
}

/// A code: what can be read is shown so that it is read the same.
pub(crate) fn code(data: &[u8]) {
    let Ok(code) = String::from_utf8_lossy(data).parse::<InviteCode>() else { return };
    assert_eq!(code.to_string().parse(), Ok(code));
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{authority::NodeKey, join::JoinRefusal};

    #[test]
    fn mutated_messages_and_codes_are_read_the_same_or_refused() {
        let addresses = vec!["192.0.2.7:4041".to_owned(), "host:1".to_owned()];
        let code = InviteCode::new(addresses.clone(), &[1; 32], [2; 16], [3; 16]);
        let key = NodeKey::generate().unwrap();
        let request = JoinRequest {
            host: "host".into(),
            site: None,
            addresses,
            version: "1".into(),
            level: 2,
            public_key: key.public_key().to_vec(),
        };
        let knock = session::knock(&code, &request, &key, &[0; 32]).unwrap();
        let refused: Answer = Err(JoinRefusal::NotNow("later".into()));
        let seeds = [knock, codec::encode(&refused).unwrap(), code.to_string().into_bytes()];
        let mut random = StdRng::seed_from_u64(38);
        let mut read = 0;
        for round in 0..6000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.insert(at, random.random()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            read += usize::from(codec::decode::<Knock>(&bytes).is_ok());
            message(&bytes);
            super::code(&bytes);
        }
        assert!(read > 500, "{read}");
    }
}
