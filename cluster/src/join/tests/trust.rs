//! Who gets in, and who learns what (attack A38).

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::support::*;
use crate::{
    Environment, NodeId,
    authority::{Authority, NodeKey, VALIDITY},
    join::{Admission, InviteCode, JoinError, JoinRefusal, JoinRequest, knock},
    link::tests::support::{Maker, PASS, Relay, TWICE, TestNode, authority, wrong_clock},
};

const SECRET: [u8; 16] = *b"sixteen secrets!";
const DAY: i64 = 24 * 3_600_000;

/// A member, its door, and a code for it.
struct Scene {
    authority: Arc<Authority>,
    member: TestNode,
    door: Arc<TestDoor>,
    key: NodeKey,
}

impl Scene {
    async fn new() -> Self {
        let authority = Arc::new(authority());
        let member = Maker::new(&authority).make(1).await;
        let door = TestDoor::new(&authority, vec![member.peer()]);
        member.links.serve_join(Arc::clone(&door) as _);
        Self { authority, member, door, key: NodeKey::generate().unwrap() }
    }

    fn code(&self) -> InviteCode {
        let addresses = vec![self.member.address().to_string()];
        InviteCode::new(addresses, &self.authority.fingerprint(), [9; 16], SECRET)
    }

    async fn knock(&self, code: &InviteCode) -> Result<Admission, JoinError> {
        knock(&Environment::real(), code, request(), &self.key).await
    }
}

/// The code with other addresses.
fn at(code: &InviteCode, addresses: Vec<String>) -> InviteCode {
    let mut code = code.clone();
    code.addresses = addresses;
    code
}

fn request() -> JoinRequest {
    JoinRequest {
        host: "node-7.example.com".into(),
        site: Some("Berlin".into()),
        addresses: vec!["192.0.2.7:4041".into()],
        version: "0.1.0".into(),
        level: 2,
        public_key: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_code_gets_in_and_its_certificate_is_believed() {
    let scene = Scene::new().await;
    let code = scene.code();
    scene.door.invite(&code, Fate::Open);
    // typed on the other machine
    let admission = scene.knock(&code.to_string().parse().unwrap()).await.unwrap();
    assert_eq!((admission.node, admission.store, admission.level), (NodeId(7), 7, 2));
    assert_eq!(&admission.vault_key[..], VAULT_KEY);
    assert_eq!(admission.peers, [scene.member.peer()]);
    assert!(!format!("{admission:?}").contains("vault"));
    let (invite, asked, from) = scene.door.seen.lock()[0].clone();
    assert_eq!((invite, asked.public_key), (code.invite, scene.key.public_key().to_vec()));
    assert!(from.ip().is_loopback());
    // it is a node from now on
    let node = Maker { key: scene.key.clone(), ..Maker::new(&scene.authority) }.make(7).await;
    node.links.set_peers(admission.peers);
    scene.member.links.set_peers(vec![node.peer()]);
    assert_eq!(node.ask(NodeId(1), b"x").await.unwrap(), &b"x"[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_expired_revoked_and_unknown_codes_are_refused_with_their_reason() {
    let scene = Scene::new().await;
    let code = scene.code();
    assert_eq!(scene.knock(&code).await, Err(JoinError::Refused(JoinRefusal::Unknown)));
    let not_now = JoinRefusal::NotNow("there is no majority".into());
    let refusals =
        [JoinRefusal::Expired, JoinRefusal::Revoked, JoinRefusal::Level { needs: 9 }, not_now];
    for refusal in refusals {
        scene.door.invite(&code, Fate::Is(refusal.clone()));
        let text = refusal.to_string();
        let error = scene.knock(&code).await.unwrap_err();
        assert_eq!(error, JoinError::Refused(refusal));
        assert_eq!(error.to_string(), text);
    }
    scene.door.invite(&code, Fate::Open);
    let first = scene.knock(&code).await.unwrap();
    // the same node asks again because it did not get the answer; another one comes too late
    assert_eq!(scene.knock(&code).await.unwrap().node, first.node);
    let other = NodeKey::generate().unwrap();
    let late = knock(&Environment::real(), &code, request(), &other).await;
    assert_eq!(late, Err(JoinError::Refused(JoinRefusal::Used)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_secret_is_refused_and_does_not_learn_what_became_of_the_invite() {
    let scene = Scene::new().await;
    let code = scene.code();
    let guess = InviteCode::new(
        code.addresses.clone(),
        &scene.authority.fingerprint(),
        code.invite,
        *b"sixteen guesses!",
    );
    for fate in [Fate::Open, Fate::Is(JoinRefusal::Expired), Fate::Used(vec![1])] {
        scene.door.invite(&code, fate);
        assert_eq!(scene.knock(&guess).await, Err(JoinError::Refused(JoinRefusal::BadProof)));
    }
    assert!(scene.door.seen.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fake_cluster_is_noticed_before_anything_is_told_to_it() {
    let scene = Scene::new().await;
    let fake = Scene::new().await;
    // the fake has everything but the authority: also the real authority's certificate to show
    let code = scene.code();
    fake.door.invite(&code, Fate::Open);
    let both =
        vec![fake.authority.certificate_der().to_vec(), scene.authority.certificate_der().to_vec()];
    fake.member.links.set_authorities(both).unwrap();
    let relay = Relay::to(fake.member.address()).await;
    let addresses = vec![relay.address.to_string()];
    let lured = at(&code, addresses);
    let error = scene.knock(&lured).await.unwrap_err();
    assert_eq!(error, JoinError::OtherCluster(relay.address.to_string()));
    assert!(error.to_string().contains("nothing was told"));
    assert!(fake.door.seen.lock().is_empty());
    // with the real one among the addresses it gets in all the same
    scene.door.invite(&code, Fate::Open);
    let addresses = [lured.addresses, code.addresses.clone()].concat();
    assert!(scene.knock(&at(&code, addresses)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_between_the_two_learns_nothing_that_it_could_use() {
    let scene = Scene::new().await;
    let code = scene.code();
    scene.door.invite(&code, Fate::Open);
    let relay = Relay::to(scene.member.address()).await;
    let lured = at(&code, vec![relay.address.to_string()]);
    relay.set(PASS);
    scene.knock(&lured).await.unwrap();
    let seen = relay.seen.lock().clone();
    assert!(seen.len() > 1000);
    let secrets: [&[u8]; 6] = [
        &SECRET,
        VAULT_KEY,
        &code.invite,
        b"node-7.example.com",
        scene.key.public_key(),
        &code.verifier().0,
    ];
    for secret in secrets {
        assert!(!seen.windows(secret.len()).any(|window| window == secret));
    }
    // what it saw, said again, opens nothing
    let before = scene.door.seen.lock().len();
    let mut again = TcpStream::connect(scene.member.address()).await.unwrap();
    let _ = again.write_all(&seen).await;
    let _ = again.shutdown().await;
    let _ = again.read_to_end(&mut Vec::new()).await;
    relay.set(TWICE);
    let doubled = scene.knock(&lured).await;
    assert!(
        matches!(doubled, Err(JoinError::Unreachable(_) | JoinError::Protocol(..))),
        "{doubled:?}"
    );
    assert_eq!(scene.door.seen.lock().len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_made_for_one_connection_is_worth_nothing_on_another() {
    use crate::join::session::{judge, knock};
    let scene = Scene::new().await;
    let code = scene.code();
    let message = knock(&code, &request(), &scene.key, &[1; 32]);
    // without a public key there is no possession
    let verifier = |_: &[u8; 16]| Some(code.verifier());
    let refused = judge(&message.unwrap(), &[1; 32], verifier);
    assert!(matches!(refused, Err(JoinRefusal::Invalid(_))), "{refused:?}");
    let asked = JoinRequest { public_key: scene.key.public_key().to_vec(), ..request() };
    let message = knock(&code, &asked, &scene.key, &[1; 32]).unwrap();
    assert_eq!(judge(&message, &[1; 32], verifier), Ok((code.invite, asked.clone())));
    assert_eq!(judge(&message, &[2; 32], verifier), Err(JoinRefusal::BadProof));
    // nobody registers a key that is not theirs
    let other = NodeKey::generate().unwrap();
    let stolen = knock(&code, &asked, &other, &[1; 32]).unwrap();
    assert!(matches!(judge(&stolen, &[1; 32], verifier), Err(JoinRefusal::Invalid(_))));
    for at in 0..message.len() {
        let mut altered = message.clone();
        altered[at] ^= 1;
        assert!(judge(&altered, &[1; 32], verifier).is_err(), "{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_says_about_itself_is_bounded_and_printable() {
    let scene = Scene::new().await;
    let code = scene.code();
    scene.door.invite(&code, Fate::Open);
    let bad = [
        JoinRequest { host: String::new(), ..request() },
        JoinRequest { host: "a\nb".into(), ..request() },
        JoinRequest { host: "a".repeat(256), ..request() },
        JoinRequest { site: Some("\u{1b}[2J".into()), ..request() },
        JoinRequest { addresses: vec!["a:1".into(); 17], ..request() },
        JoinRequest { version: "v".repeat(300), ..request() },
    ];
    for asked in bad {
        let refused = knock(&Environment::real(), &code, asked.clone(), &scene.key).await;
        let invalid = matches!(refused, Err(JoinError::Refused(JoinRefusal::Invalid(_))));
        assert!(invalid, "{asked:?}: {refused:?}");
    }
    assert!(scene.door.seen.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_a_day_off_gets_in_and_one_far_off_is_named() {
    let scene = Scene::new().await;
    let code = scene.code();
    scene.door.invite(&code, Fate::Open);
    for by in [-DAY, DAY] {
        let joined = knock(&wrong_clock(by), &code, request(), &scene.key).await;
        assert!(joined.is_ok(), "{joined:?}");
    }
    for by in [-400 * DAY, 400 * DAY] {
        let error = knock(&wrong_clock(by), &code, request(), &scene.key).await.unwrap_err();
        assert!(matches!(error, JoinError::Clock(..)), "{error:?}");
        assert!(error.to_string().contains("clock"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_is_wrong_with_the_addresses() {
    let scene = Scene::new().await;
    let code = scene.code();
    let closed = at(&code, vec!["127.0.0.1:1".into()]);
    let error = scene.knock(&closed).await.unwrap_err();
    assert!(
        matches!(&error, JoinError::Unreachable(why) if why.contains("127.0.0.1:1")),
        "{error}"
    );
    assert!(error.to_string().contains("4041"));
    // something else listens there
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut tcp, _) = web.accept().await.unwrap();
        let _ = tcp.read(&mut [0; 1024]).await;
        let _ = tcp.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
    });
    let error = scene.knock(&at(&code, vec![address])).await;
    assert!(matches!(error, Err(JoinError::Protocol(..))), "{error:?}");
    // a node that lets nobody in
    let shut = Maker::new(&scene.authority).make(2).await;
    let addresses = vec![shut.address().to_string()];
    let error = scene.knock(&at(&code, addresses)).await;
    assert!(matches!(error, Err(JoinError::Protocol(..))), "{error:?}");
    let error = scene.knock(&at(&code, vec![])).await;
    assert!(matches!(error, Err(JoinError::Unreachable(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_for_another_node_is_not_taken() {
    let scene = Scene::new().await;
    let code = scene.code();
    scene.door.invite(&code, Fate::Open);
    let good = scene.knock(&code).await.unwrap();
    let other = NodeKey::generate().unwrap();
    let now = Environment::real().clock.now();
    let foreign = scene.authority.certify(other.public_key(), NodeId(7), now, VALIDITY).unwrap();
    let wrong = [
        Admission { certificate: foreign, ..good.clone() },
        Admission { node: NodeId(8), ..good.clone() },
        Admission { authorities: vec![authority().certificate_der().to_vec()], ..good.clone() },
        Admission { certificate: Vec::new(), ..good.clone() },
    ];
    let check = crate::join::knock::check;
    assert_eq!(check(&Environment::real(), &code, &scene.key, &good), Ok(()));
    for admission in wrong {
        assert!(check(&Environment::real(), &code, &scene.key, &admission).is_err());
    }
}
