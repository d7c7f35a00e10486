//! Changes of nodes and of the agreed level.

use super::{
    facts::{self, Fact},
    mailboxes, rows,
    step::{Res, Step},
};
use crate::{ChangeRefusal, Kind, NodeInfo, NodeInfoV1, NodeState, StoreId, StoreInfo, name};

/// Most addresses of a node port.
const MAX_LINKS: usize = 16;
/// Longest address of a node port, version or name of a site in bytes.
const MAX_TEXT: usize = 255;
/// Longest name of a site in bytes.
const MAX_SITE: usize = 64;
/// Bytes of the hash of a public key.
const KEY: usize = 32;

fn invalid(text: impl Into<String>) -> ChangeRefusal {
    ChangeRefusal::Invalid(text.into())
}

fn plain(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

/// Brings the parts of a node that came from outside into their normal form.
pub(super) fn check_node(node: &mut NodeInfo) -> Result<(), ChangeRefusal> {
    node.host =
        name::domain(&node.host).ok_or_else(|| ChangeRefusal::BadName(node.host.clone()))?;
    node.site = site(&node.site)?;
    if node.links.len() > MAX_LINKS || !node.links.iter().all(|link| is_link(link)) {
        let text = "the addresses of a node are at most 16 of the form host:port";
        return Err(invalid(text));
    }
    if !node.key.is_empty() && node.key.len() != KEY {
        return Err(invalid("the hash of a public key has 32 bytes"));
    }
    if !plain(&node.version, MAX_TEXT) {
        return Err(invalid("the version is too long or has control characters"));
    }
    i64::try_from(node.id).map(drop).map_err(|_| invalid("the number is too large"))
}

fn site(text: &str) -> Result<String, ChangeRefusal> {
    let site = text.trim();
    match plain(site, MAX_SITE) {
        true => Ok(site.to_owned()),
        false => Err(ChangeRefusal::BadName(text.chars().take(MAX_SITE).collect())),
    }
}

fn is_link(link: &str) -> bool {
    let Some((host, port)) = link.rsplit_once(':') else { return false };
    !host.is_empty() && plain(link, MAX_TEXT) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl Step<'_> {
    /// The node, or a refusal if there is none or it was removed.
    pub(super) fn member(&self, id: u64) -> Res<NodeInfo> {
        match rows::node(self.db, id)? {
            Some(node) if node.is_member() => Ok(node),
            Some(_) => Err(ChangeRefusal::NodeRemoved(id).into()),
            None => Err(ChangeRefusal::NotFound(format!("node {id}")).into()),
        }
    }

    /// All members.
    pub(super) fn members(&self) -> Res<Vec<NodeInfo>> {
        let mut nodes: Vec<NodeInfo> = rows::all(self.db, "node")?;
        nodes.retain(NodeInfo::is_member);
        Ok(nodes)
    }

    /// Writes a node without a check or a line.
    pub(super) fn write_node(&mut self, node: &NodeInfo) -> Res<()> {
        facts::given(self.db, Fact::LastNode, node.id)?;
        self.effect.configuration = true;
        let id = i64::try_from(node.id).map_err(|_| invalid("the number is too large"))?;
        Ok(rows::put(self.db, "node", id, node)?)
    }

    /// [`crate::Change::PutNodeV1`].
    pub(super) fn put_node_v1(&mut self, old: NodeInfoV1) -> Res<()> {
        let node = match rows::node(self.db, old.id)? {
            Some(before) => NodeInfo { host: old.host, site: old.site, ..before },
            None => NodeInfo::from(old),
        };
        self.put_node(node)
    }

    /// [`crate::Change::PutNode`].
    pub(super) fn put_node(&mut self, mut node: NodeInfo) -> Res<()> {
        check_node(&mut node)?;
        let before = rows::node(self.db, node.id)?;
        if before.as_ref().is_some_and(|before| !before.is_member()) {
            return Err(ChangeRefusal::NodeRemoved(node.id).into());
        }
        if node.state == NodeState::Removed {
            return Err(invalid("a node is removed by its own command").into());
        }
        self.check_identity(&node)?;
        if node.joined.0 == 0 {
            node.joined = before.as_ref().map_or(self.at, |before| before.joined);
        }
        if before.as_ref() == Some(&node) {
            return Ok(());
        }
        self.say(format!("node {} is {} at site {}", node.id, node.host, node.site));
        self.write_node(&node)
    }

    /// Host name and key belong to one node.
    pub(super) fn check_identity(&self, node: &NodeInfo) -> Res<()> {
        for other in rows::all::<NodeInfo>(self.db, "node")? {
            if other.id == node.id {
                continue;
            }
            // first the key: a member that comes back for a certificate has its own host name, too
            if !node.key.is_empty() && other.key == node.key {
                return Err(ChangeRefusal::KeyTaken(other.id).into());
            }
            if other.is_member() && other.host == node.host {
                let host = node.host.clone();
                return Err(ChangeRefusal::HostTaken { host, node: other.id }.into());
            }
        }
        Ok(())
    }

    /// [`crate::Change::NodeReport`].
    pub(super) fn node_report(
        &mut self,
        id: u64,
        links: Vec<String>,
        key: Option<Vec<u8>>,
        version: String,
        level: u32,
    ) -> Res<()> {
        let before = self.member(id)?;
        let agreed = facts::level(self.db)?;
        if level < agreed {
            let why = format!("node {id} knows only level {level}, level {agreed} is agreed");
            return Err(ChangeRefusal::BadLevel { level, why }.into());
        }
        let mut node = NodeInfo { links, version, level, ..before.clone() };
        node.key = key.unwrap_or(node.key);
        check_node(&mut node)?;
        self.check_identity(&node)?;
        if node == before {
            return Ok(());
        }
        self.say(format!(
            "node {id} runs version {} (level {level}) and is reached at {}",
            node.version,
            node.links.join(", ")
        ));
        if node.key != before.key && !before.key.is_empty() {
            self.say(format!("node {id} has a new key"));
        }
        self.write_node(&node)
    }

    /// [`crate::Change::SetSite`].
    pub(super) fn set_site(&mut self, id: u64, to: &str) -> Res<()> {
        let mut node = self.member(id)?;
        let to = site(to)?;
        if to.is_empty() {
            return Err(ChangeRefusal::BadName(to).into());
        }
        if node.site != to {
            self.say(format!("node {id} moves from site {} to site {to}", node.site));
            node.site = to;
            self.write_node(&node)?;
        }
        Ok(())
    }

    /// [`crate::Change::SetNodeState`].
    pub(super) fn set_node_state(&mut self, id: u64, state: NodeState) -> Res<()> {
        let mut node = self.member(id)?;
        if node.state == state {
            return Ok(());
        }
        let word = match state {
            NodeState::Active => "active",
            NodeState::Draining => "being emptied",
            NodeState::Removed => {
                return Err(invalid("a node is removed by its own command").into());
            }
        };
        let others = self.members()?;
        let active = |other: &NodeInfo| other.id != id && other.state == NodeState::Active;
        if state == NodeState::Draining && !others.iter().any(active) {
            return Err(ChangeRefusal::LastNode.into());
        }
        node.state = state;
        self.say(format!("node {id} is {word}"));
        self.write_node(&node)
    }

    /// [`crate::Change::SetLevel`].
    pub(super) fn set_level(&mut self, level: u32) -> Res<()> {
        let agreed = facts::level(self.db)?;
        if level == agreed {
            return Ok(());
        }
        if level < agreed {
            let why = format!("level {agreed} is agreed already, and levels only rise");
            return Err(ChangeRefusal::BadLevel { level, why }.into());
        }
        let mut members = self.members()?;
        if let [only] = members.as_mut_slice() {
            // whoever proposes is this node, and knows the level that it names
            only.level = only.level.max(level);
            let only = only.clone();
            self.write_node(&only)?;
        }
        let behind: Vec<String> = members
            .iter()
            .filter(|node| node.level < level)
            .map(|node| format!("node {} ({}) knows level {}", node.id, node.host, node.level))
            .collect();
        if !behind.is_empty() {
            return Err(ChangeRefusal::BadLevel { level, why: behind.join(", ") }.into());
        }
        if facts::get(self.db, Fact::ClusterId)?.is_none() {
            facts::put(self.db, Fact::ClusterId, self.proposal)?;
        }
        facts::put(self.db, Fact::Level, u128::from(level))?;
        self.effect.configuration = true;
        self.say(format!("the cluster agrees on level {level}"));
        Ok(())
    }

    /// [`crate::Change::RemoveNode`].
    pub(super) fn remove_node(&mut self, id: u64, force: bool) -> Res<()> {
        let mut node = match self.member(id) {
            Err(super::step::Stop::Refused(ChangeRefusal::NodeRemoved(_))) => return Ok(()),
            other => other?,
        };
        let members = self.members()?;
        if !members.iter().any(|n| n.id != id && n.state == NodeState::Active) {
            return Err(ChangeRefusal::LastNode.into());
        }
        let mut lost = Vec::new();
        for mut store in rows::all::<StoreInfo>(self.db, "store")? {
            if !store.replicas.contains(&id) && store.home != id {
                continue;
            }
            store.replicas.retain(|replica| *replica != id);
            let active = |replica: &&u64| {
                members.iter().any(|n| n.id == **replica && n.state == NodeState::Active)
            };
            if store.home == id {
                let home = store.replicas.iter().find(active).or(store.replicas.first());
                store.home = home.copied().unwrap_or(id);
            }
            if store.replicas.is_empty() {
                store.retired = true;
                lost.push((store.id, mailboxes::number(self.db, store.id)?));
            }
            self.write_store(&store)?;
        }
        lost.retain(|(_, mailboxes)| *mailboxes > 0);
        if !lost.is_empty() && !force {
            let stores: Vec<String> = lost
                .iter()
                .map(|(store, number)| format!("store {} with {number} mailboxes", store.0))
                .collect();
            return Err(ChangeRefusal::WouldLose(format!(
                "node {id} ({}) has the only replica of {}: they would be lost",
                node.host,
                stores.join(", ")
            ))
            .into());
        }
        node.state = NodeState::Removed;
        node.removed = Some(self.at);
        self.write_node(&node)?;
        self.say(format!("removed node {id} ({}) for ever", node.host));
        for (store, number) in lost {
            self.say(format!("store {} was lost with {number} mailboxes", store.0));
            self.begin_anew(store)?;
        }
        Ok(())
    }

    /// The mailboxes of a lost store begin anew, empty, in other stores.
    fn begin_anew(&mut self, lost: StoreId) -> Res<()> {
        let sql = "select account from mailbox where store = ? order by account";
        for id in rows::ids(self.db, sql, [mailboxes::column(lost)?])? {
            let Some(mut account) = rows::account(self.db, id)? else { continue };
            let Kind::User(user) = &mut account.kind else { continue };
            user.store = self.least_loaded(None)?;
            account.changed = self.at;
            rows::put_account(self.db, &account)?;
            self.effect.accounts.insert(id);
        }
        Ok(())
    }
}
