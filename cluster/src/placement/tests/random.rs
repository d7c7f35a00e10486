//! Random clusters that suffer random deaths: nothing is lost on the way, and it all comes to rest.

use proptest::prelude::*;

use super::*;

/// One round of the planner and of all groups.
const ROUND: Duration = Duration::from_secs(60);
/// Rounds within which everything has come to rest.
const PATIENCE: usize = 400;
/// So many rounds without an order are rest: replicas fill meanwhile.
const QUIET: usize = 10;

#[derive(Clone, Debug)]
enum Event {
    Kill(usize),
    Revive(usize),
    Drain(usize),
    Remove(usize),
    Add(u8),
    Retire(usize),
    Wait(u8),
}

/// A cluster in which replicas that answer fill one after the other.
struct World {
    view: View,
    next: u64,
}

impl World {
    fn new(sites: &[u8]) -> Self {
        let mut world = Self { view: View::default(), next: 1 };
        for site in sites {
            world.add(*site);
        }
        let first = NodeId(1);
        world.view.domain.voters = BTreeSet::from([first]);
        world
    }

    fn add(&mut self, site: u8) {
        let id = NodeId(self.next);
        self.next += 1;
        let site = ["a", "b", "c", "d"][usize::from(site) % 4].to_owned();
        let since = Duration::ZERO;
        let node = NodeView { id, site, draining: false, answers: true, since, disk_free: None };
        self.view.nodes.push(node);
        self.view.stores.push(StoreView {
            id: GroupId(id.0),
            home: id,
            replicas: BTreeSet::from([id]),
            wanted: 1 + (id.0 % 5) as u8,
            retired: false,
            mailboxes: 5,
            spooled: 0,
            bytes: 0,
            group: Some(GroupView { voters: BTreeSet::from([id]), ..GroupView::default() }),
        });
    }

    fn happen(&mut self, event: &Event) {
        let at = |number: usize, length: usize| (length > 0).then(|| number % length.max(1));
        let length = self.view.nodes.len();
        match event {
            Event::Kill(n) | Event::Revive(n) => {
                let answers = matches!(event, Event::Revive(_));
                if let Some(node) = at(*n, length).and_then(|n| self.view.nodes.get_mut(n))
                    && node.answers != answers
                {
                    (node.answers, node.since) = (answers, Duration::ZERO);
                }
            }
            Event::Drain(n) => {
                let active = self.view.nodes.iter().filter(|node| !node.draining).count();
                if active > 1
                    && let Some(node) = at(*n, length).and_then(|n| self.view.nodes.get_mut(n))
                {
                    node.draining = true;
                }
            }
            Event::Remove(n) => {
                let Some(id) = at(*n, length).map(|n| self.view.nodes[n].id) else { return };
                self.see();
                if can_remove(&self.view, id).is_ok() {
                    self.view.nodes.retain(|node| node.id != id);
                    for store in &mut self.view.stores {
                        // as the directory does it
                        store.replicas.remove(&id);
                        if store.home == id {
                            store.home = store.replicas.first().copied().unwrap_or(id);
                        }
                    }
                    self.view.stores.retain(|store| !store.replicas.is_empty());
                }
            }
            Event::Add(site) => self.add(*site),
            Event::Retire(n) => {
                let length = self.view.stores.len();
                if length > 1
                    && let Some(store) = at(*n, length).and_then(|n| self.view.stores.get_mut(n))
                {
                    (store.retired, store.mailboxes) = (true, 0);
                }
            }
            Event::Wait(rounds) => {
                for _ in 0..*rounds {
                    self.round();
                }
            }
        }
    }

    /// Leaders and readiness as the answers of nodes make them.
    fn see(&mut self) {
        let answering: BTreeSet<NodeId> =
            self.view.nodes.iter().filter(|n| n.answers).map(|n| n.id).collect();
        let look = |group: &mut GroupView| {
            let live = &group.voters & &answering;
            let majority = live.len() > group.voters.len() / 2;
            if !majority {
                group.leader = None;
                group.ready = &group.ready & &answering;
                return;
            }
            // who leads has what was acknowledged, and fills those that answer
            if group.leader.is_none_or(|leader| !live.contains(&leader)) {
                group.leader = live.first().copied();
            }
            let there = &(&group.voters | &group.learners) & &answering;
            group.ready = &group.ready & &there;
            group.ready.extend(group.leader);
            let filled = there.difference(&group.ready).next().copied();
            group.ready.extend(filled);
        };
        look(&mut self.view.domain);
        for store in &mut self.view.stores {
            store.group.as_mut().map(look);
        }
    }

    /// What the planner sees: of a group without a leader nothing.
    fn seen(&self) -> View {
        let mut view = self.view.clone();
        for store in &mut view.stores {
            if store.group.as_ref().is_some_and(|group| group.leader.is_none()) {
                store.group = None;
            }
        }
        view
    }

    /// One round; whether anything was done.
    fn round(&mut self) -> bool {
        for node in &mut self.view.nodes {
            node.since += ROUND;
        }
        self.see();
        let mut busy = false;
        if self.view.domain.leader.is_some() {
            for action in plan(&self.seen()) {
                busy = true;
                self.obey(action.order);
                self.see();
            }
        }
        for at in 0..self.view.stores.len() {
            let seen = self.seen();
            let Some(group) = seen.stores[at].group.clone() else { continue };
            let target = store_target(&seen, &seen.stores[at]);
            if let Some((step, _)) = next_step(&seen, &group, &target) {
                busy = true;
                let changed = change(&seen, group, step);
                self.view.stores[at].group = Some(changed);
            }
        }
        busy
    }

    /// Runs until nothing is left to do; false if that does not come.
    fn rests(&mut self) -> bool {
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            quiet = if self.round() { 0 } else { quiet + 1 };
            if quiet == QUIET {
                return true;
            }
        }
        false
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Domain(step) => {
                self.view.domain = change(&self.view, self.view.domain.clone(), step);
            }
            Order::Store { store, home, replicas } => {
                let view = self.view.clone();
                let item = self.view.stores.iter_mut().find(|item| item.id == store).unwrap();
                let ready = &item.group.as_ref().unwrap().ready;
                assert!(replicas.contains(&home));
                assert!(
                    replicas.iter().any(|id| view.answers(*id) && ready.contains(id)),
                    "a complete one stays"
                );
                let more = replicas.difference(&item.replicas).count();
                let fewer = item
                    .replicas
                    .iter()
                    .filter(|id| view.node(**id).is_some() && !replicas.contains(id))
                    .count();
                assert!(more + fewer <= 1, "one change at a time");
                (item.home, item.replicas) = (home, replicas);
            }
            Order::RemoveStore(id) => {
                let item = self.view.stores.iter().find(|item| item.id == id).unwrap();
                assert!(item.retired && item.mailboxes == 0);
                self.view.stores.retain(|item| item.id != id);
            }
        }
    }
}

/// Carries a step out, and judges it.
fn change(view: &View, mut group: GroupView, step: MemberStep) -> GroupView {
    let complete = |group: &GroupView, id: &NodeId| view.answers(*id) && group.ready.contains(id);
    assert!(view.majority_answers(&group.voters), "only a group with a majority can change");
    match step {
        MemberStep::AddLearner(id) => {
            assert!(!group.has(id) && view.answers(id));
            group.learners.insert(id);
        }
        MemberStep::SetVoters(voters) => {
            assert!(view.majority_answers(&voters), "a majority of the new voters answers");
            assert!(voters.iter().any(|id| complete(&group, id)), "a complete one votes");
            assert!(voters.iter().all(|id| group.has(*id)));
            let all = &group.voters | &group.learners;
            group.learners = &all - &voters;
            group.voters = voters;
            if group.leader.is_some_and(|leader| !group.voters.contains(&leader)) {
                group.leader = None;
            }
        }
        MemberStep::Remove(id) => {
            assert!(group.learners.remove(&id));
            group.ready.remove(&id);
            let mut members = group.voters.iter().chain(&group.learners);
            assert!(members.any(|id| complete(&group, id)), "a complete one stays");
        }
        MemberStep::Transfer(id) => {
            assert!(group.voters.contains(&id) && complete(&group, &id));
            group.leader = Some(id);
        }
    }
    group
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0usize..12).prop_map(Event::Kill),
        5 => (0usize..12).prop_map(Event::Revive),
        1 => (0usize..12).prop_map(Event::Drain),
        1 => (0usize..12).prop_map(Event::Remove),
        1 => (0u8..4).prop_map(Event::Add),
        1 => (0usize..12).prop_map(Event::Retire),
        8 => (1u8..20).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 0..40)
}

/// What must hold when everybody answers and nothing is left to do.
fn check_rest(view: &View) {
    let active = view.nodes.iter().filter(|node| !node.draining).count();
    let odd = |n: usize| if n.is_multiple_of(2) { n.saturating_sub(1) } else { n };
    assert!(view.domain.voters.len() >= odd(active.min(MAX_VOTERS)).min(3).min(active), "{view:?}");
    assert!(!view.domain.voters.len().is_multiple_of(2));
    let members = &view.domain.voters | &view.domain.learners;
    assert_eq!(members, view.nodes.iter().map(|node| node.id).collect());
    let sites: BTreeSet<&str> = view.nodes.iter().map(|node| node.site.as_str()).collect();
    let none_draining = view.nodes.iter().all(|node| !node.draining);
    if sites.len() >= 3 && none_draining {
        for site in &sites {
            let here = view.domain.voters.iter().filter(|id| view.site(**id) == Some(site)).count();
            assert!(here <= view.domain.voters.len() / 2, "{site} has a majority: {view:?}");
        }
    }
    for store in &view.stores {
        let group = store.group.as_ref().unwrap();
        assert_eq!(store.replicas.len(), usize::from(store.wanted).min(active), "{store:?}");
        assert_eq!(&group.voters | &group.learners, store.replicas, "{store:?}");
        assert!(!group.voters.len().is_multiple_of(2), "{store:?}");
        assert_eq!(group.leader, Some(store.home), "{store:?}");
        let draining = |id: &NodeId| view.node(*id).is_some_and(|node| node.draining);
        assert!(!store.replicas.iter().any(draining), "emptied: {store:?}");
        let home = view.site(store.home);
        let abroad = store.replicas.iter().any(|id| view.site(*id) != home);
        let more = view.nodes.iter().any(|node| {
            Some(node.site.as_str()) == home && !node.draining && !store.replicas.contains(&node.id)
        });
        assert!(!(abroad && more), "there is room in the site of its home: {store:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn whatever_dies_nothing_complete_is_given_up_and_all_comes_to_rest(
        sites in prop::collection::vec(0u8..4, 1..9), events in events()
    ) {
        let mut world = World::new(&sites);
        for event in &events {
            world.happen(event);
        }
        // with the dead still dead it comes to rest too
        prop_assert!(world.rests(), "no rest: {:?}", plan(&world.seen()));
        for number in 0..world.view.nodes.len() {
            world.happen(&Event::Revive(number));
        }
        prop_assert!(world.rests(), "no rest: {:?}", plan(&world.seen()));
        check_rest(&world.view);
    }
}
