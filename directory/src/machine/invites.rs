//! Invitations, and nodes that join by them.

use rusqlite::params;

use super::{
    facts::{self, Fact},
    nodes, rows,
    step::{Res, Step},
};
use crate::{
    ChangeRefusal, Invite, InviteId, InviteUse, JoinInfo, Joined, NodeInfo, NodeState, StoreId,
    StoreInfo, key, name,
};

/// Invitations that are kept. Of more, those are forgotten that are used, taken back or expired, the oldest first.
const MAX_INVITES: usize = 1_000;
/// Largest verifier in bytes.
const MAX_VERIFIER: usize = 256;

fn invalid(text: impl Into<String>) -> ChangeRefusal {
    ChangeRefusal::Invalid(text.into())
}

impl Step<'_> {
    /// [`crate::Change::PutInvite`].
    pub(super) fn put_invite(&mut self, mut invite: Invite) -> Res<()> {
        if rows::invite(self.db, &invite.id)?.is_some() {
            return Err(ChangeRefusal::Exists.into());
        }
        if invite.verifier.is_empty() || invite.verifier.len() > MAX_VERIFIER {
            return Err(invalid("the verifier of an invitation has 1 to 256 bytes").into());
        }
        if let Some(host) = &invite.host {
            let normal = name::domain(host).ok_or_else(|| ChangeRefusal::BadName(host.clone()))?;
            invite.host = Some(normal);
        }
        (invite.created, invite.used, invite.revoked) = (self.at, None, false);
        self.make_room_for_invite()?;
        self.say(match &invite.host {
            Some(host) => format!("invited {host} to join the cluster"),
            None => "invited a node to join the cluster".to_owned(),
        });
        self.write_invite(&invite)
    }

    fn write_invite(&mut self, invite: &Invite) -> Res<()> {
        self.effect.configuration = true;
        Ok(rows::put(self.db, "invite", invite.id.as_slice(), invite)?)
    }

    fn make_room_for_invite(&mut self) -> Res<()> {
        let sql = "select count(*) from invite";
        let number: i64 = self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if number.unsigned_abs() < MAX_INVITES as u64 {
            return Ok(());
        }
        let mut all: Vec<Invite> = rows::all(self.db, "invite")?;
        let open =
            |invite: &Invite| invite.expires > self.at && invite.used.is_none() && !invite.revoked;
        all.sort_by_key(|invite| (open(invite), invite.expires, invite.id));
        let surplus = all.len() + 1 - MAX_INVITES;
        for invite in all.iter().take(surplus) {
            if open(invite) {
                return Err(invalid(format!("there are {MAX_INVITES} open invitations")).into());
            }
            self.db.prepare_cached("delete from invite where id = ?")?.execute([invite.id])?;
        }
        Ok(())
    }

    /// [`crate::Change::RevokeInvite`].
    pub(super) fn revoke_invite(&mut self, id: &InviteId) -> Res<()> {
        let mut invite = rows::invite(self.db, id)?.ok_or(ChangeRefusal::InviteUnknown)?;
        if let Some(used) = &invite.used {
            return Err(ChangeRefusal::InviteUsed(used.node).into());
        }
        if !invite.revoked {
            invite.revoked = true;
            self.say("took an invitation back");
            self.write_invite(&invite)?;
        }
        Ok(())
    }

    /// [`crate::Change::Join`].
    pub(super) fn join(&mut self, join: JoinInfo) -> Res<()> {
        let mut invite =
            rows::invite(self.db, &join.invite)?.ok_or(ChangeRefusal::InviteUnknown)?;
        if let Some(used) = &invite.used {
            return self.join_again(used, &join);
        }
        if invite.revoked {
            return Err(ChangeRefusal::InviteRevoked.into());
        }
        if invite.expires <= self.at {
            return Err(ChangeRefusal::InviteExpired.into());
        }
        let mut node = NodeInfo {
            id: 0,
            host: join.host,
            site: join.site,
            links: join.links,
            key: join.key,
            state: NodeState::Active,
            version: join.version,
            level: join.level,
            joined: self.at,
            removed: None,
        };
        nodes::check_node(&mut node)?;
        if node.key.is_empty() || node.links.is_empty() || node.site.is_empty() {
            return Err(invalid("a node that joins has a key, a site and an address").into());
        }
        if invite.host.as_ref().is_some_and(|host| *host != node.host) {
            return Err(ChangeRefusal::InviteHost(invite.host.unwrap_or_default()).into());
        }
        let agreed = facts::level(self.db)?;
        if node.level < agreed {
            let why = format!("its program knows only level {}; install a newer one", node.level);
            return Err(ChangeRefusal::BadLevel { level: agreed, why }.into());
        }
        self.check_identity(&node)?;
        node.id = facts::next(self.db, Fact::LastNode, "node")?;
        let store = StoreId(facts::next(self.db, Fact::LastStore, "store")?);
        self.write_node(&node)?;
        let wanted = u8::try_from(self.integer(key::CLUSTER_REPLICAS)?).unwrap_or(u8::MAX);
        self.write_store(&StoreInfo {
            id: store,
            home: node.id,
            replicas: vec![node.id],
            wanted: wanted.clamp(1, StoreInfo::MAX_WANTED),
            retired: false,
        })?;
        let key = node.key.clone();
        invite.used = Some(InviteUse { node: node.id, store, key, at: self.at });
        self.write_invite(&invite)?;
        self.say(format!(
            "{} joined as node {} at site {}, home of store {}",
            node.host, node.id, node.site, store.0
        ));
        self.effect.joined = Some(Joined { node: node.id, store });
        Ok(())
    }

    /// The node that used the invitation asks again, because the answer got lost.
    fn join_again(&mut self, used: &InviteUse, join: &JoinInfo) -> Res<()> {
        if used.key != join.key {
            return Err(ChangeRefusal::InviteUsed(used.node).into());
        }
        self.member(used.node)?;
        self.effect.joined = Some(Joined { node: used.node, store: used.store });
        Ok(())
    }

    /// Value of an integer setting as the commands so far left it.
    fn integer(&self, key: &str) -> Res<u64> {
        use rusqlite::OptionalExtension;
        let sql = "select value from setting where name = ?";
        let set: Option<String> =
            self.db.prepare_cached(sql)?.query_row(params![key], |row| row.get(0)).optional()?;
        let default = crate::settings::spec(key).map_or("0", |spec| spec.default);
        Ok(set.as_deref().unwrap_or(default).parse().unwrap_or(0))
    }
}
