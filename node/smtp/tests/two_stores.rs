//! Mailboxes in two stores, one of them on another node: accepted at once, delivered once.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "../../store/tests/common/wires.rs"]
#[allow(dead_code)]
mod wires;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use posthouse_cluster::{Environment, GroupId, Node, NodeId, NodeOptions, network::Service};
use posthouse_smtp::Timeouts;
use posthouse_store::{Locate, MailboxId, Store, StoreOptions, Stores};
use support::{NextHop, Site, Way, next_hop::POLITE};
use wires::Wires;

const MESSAGE: &str = "Subject: to two\r\n\r\nText\r\n";
const HERE: GroupId = GroupId(1);
const THERE: GroupId = GroupId(2);
const FAR: NodeId = NodeId(2);

#[derive(Default)]
struct Places(Mutex<BTreeMap<MailboxId, GroupId>>);

impl Locate for Places {
    fn store_of(&self, mailbox: MailboxId) -> GroupId {
        self.0.lock().get(&mailbox).copied().unwrap_or(HERE)
    }

    fn replicas(&self, store: GroupId) -> Vec<NodeId> {
        vec![NodeId(store.0)]
    }

    fn stores(&self) -> Vec<GroupId> {
        vec![HERE, THERE]
    }

    fn level(&self) -> u32 {
        2
    }
}

struct World {
    site: Site,
    wires: Wires,
    far: Stores,
    node: Node,
    _folder: tempfile::TempDir,
}

impl World {
    /// The usual site; ben's mailbox is in a store on another node.
    async fn new() -> Self {
        let (wires, places) = (Wires::default(), Arc::new(Places::default()));
        let folder = tempfile::tempdir().unwrap();
        let network = wires.end(FAR);
        let log = folder.path().join("log");
        let options = NodeOptions { network: network.clone(), ..NodeOptions::alone(FAR, log) };
        let env = Environment::real();
        let node = Node::open(env.clone(), options).await.unwrap();
        let far = Stores::new(env, network, places.clone());
        let store = folder.path().join("store");
        let options = StoreOptions { group: THERE, folder: store, bootstrap: true, readers: 1 };
        far.add(Store::open(&node, options).await.unwrap());
        let way = Way { network: wires.end(NodeId(1)), locate: Some(places.clone()) };
        let site = Site::with_way(Timeouts::default(), way).await;
        places.0.lock().insert(site.mailbox("ben"), THERE);
        Self { site, wires, far, node, _folder: folder }
    }

    async fn end(mut self) {
        self.site.stop().await;
        drop(self.far);
        self.node.shutdown().await.unwrap();
    }

    /// Everybody named has so many messages and the spool is empty.
    async fn expect(&self, counts: &[(&str, usize)]) {
        for (name, count) in counts {
            self.site.wait_for_inbox(name, *count).await;
        }
        self.site.wait_for_spool(<[_]>::is_empty).await;
        for (name, count) in counts {
            assert_eq!(self.site.inbox(name).await.len(), *count, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_of_both_stores_get_it_once() {
    let world = World::new().await;
    let mut client = world.site.transfer().await;
    client.mail("bob@sender.test", &["ben@example.test"], MESSAGE).await;
    // one store, and it answers: no spool is needed
    assert_eq!(world.site.inbox("ben").await.len(), 1);
    let to = ["anna@example.test", "ben@example.test", "info1@example.test", "ben@example.test"];
    client.mail("bob@sender.test", &to, MESSAGE).await;
    world.expect(&[("anna", 1), ("ben", 2)]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_for_a_store_out_of_reach_waits_and_comes_once_after_healing() {
    let world = World::new().await;
    world.wires.cut(FAR, None);
    let mut client = world.site.transfer().await;
    for to in [&["ben@example.test"][..], &["ben@example.test", "anna@example.test"]] {
        client.mail("bob@sender.test", to, MESSAGE).await;
    }
    // a full mailbox here does not keep the others' copies
    client.mail("bob@sender.test", &["team@example.test"], MESSAGE).await;
    let waiting = world
        .site
        .wait_for_spool(|spool| {
            let tried = |entry: &posthouse_store::SpoolEntry| entry.recipients[0].attempts > 0;
            spool.len() == 3 && spool.iter().all(tried)
        })
        .await;
    let error = waiting[0].recipients[0].last_error.clone().unwrap();
    assert!(error.contains("store 2 is out of reach"), "{error}");
    assert_eq!(world.site.inbox("anna").await.len(), 2);
    world.wires.heal();
    let request = posthouse_store::Request::CreateMailbox {
        mailbox: world.site.mailbox("full"),
        quota: support::UNLIMITED,
    };
    world.site.stores.request(request).await.unwrap();
    world.site.pass(Duration::from_secs(120));
    world.expect(&[("anna", 2), ("ben", 3), ("full", 1)]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_got_there_although_the_answers_were_lost_is_not_doubled_by_the_spool() {
    let world = World::new().await;
    let mut client = world.site.transfer().await;
    client.mail("bob@sender.test", &["ben@example.test"], MESSAGE).await;
    world.wires.lose(Service::STORE, 10_000);
    client.mail("bob@sender.test", &["ben@example.test"], MESSAGE).await;
    assert_eq!(world.site.spool().await.len(), 1, "it waits here, though it is there");
    world.wires.lose(Service::STORE, 0);
    world.site.pass(Duration::from_secs(120));
    world.expect(&[("ben", 2)]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_find_senders_of_another_store() {
    let world = World::new().await;
    world.site.dns.domain("partner.test", "127.0.0.2");
    let refusing = support::Script { rcpt: &[("", "550 5.1.1 nobody")], ..POLITE };
    let _hop = NextHop::start("127.0.0.2", world.site.remote_port, refusing).await;
    let mut client = world.site.signed_on("ben").await;
    client.mail("ben@example.test", &["nobody@partner.test"], MESSAGE).await;
    let report = world.site.wait_for_inbox("ben", 1).await.remove(0);
    assert!(report.contains("Action: failed"), "{report}");
    // and a report of success about a mailbox there
    let mut client = world.site.signed_on("anna").await;
    client.expect("MAIL FROM:<anna@example.test>", 250).await;
    client.expect("RCPT TO:<ben@example.test> NOTIFY=SUCCESS", 250).await;
    client.expect("DATA", 354).await;
    client.send(format!("From: anna@example.test\r\n{MESSAGE}").as_bytes()).await;
    client.expect(".", 250).await;
    let report = world.site.wait_for_inbox("anna", 1).await.remove(0);
    assert!(report.contains("Action: delivered"), "{report}");
    world.expect(&[("anna", 1), ("ben", 2)]).await;
    world.end().await;
}
