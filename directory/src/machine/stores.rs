//! Changes of stores.

use super::{
    facts::{self, Fact},
    mailboxes, rows,
    step::{Res, Step},
};
use crate::{ChangeRefusal, StoreId, StoreInfo};

fn invalid(text: impl Into<String>) -> ChangeRefusal {
    ChangeRefusal::Invalid(text.into())
}

impl Step<'_> {
    /// The store, or a refusal.
    pub(super) fn existing_store(&self, id: StoreId) -> Res<StoreInfo> {
        rows::store(self.db, id)?
            .ok_or_else(|| ChangeRefusal::NotFound(format!("store {}", id.0)).into())
    }

    /// A store that mailboxes may be put into, or a refusal.
    pub(super) fn usable_store(&self, id: StoreId) -> Res<StoreInfo> {
        let store = self.existing_store(id)?;
        if !store.takes() {
            let text = format!("store {} is out of use and takes no mailboxes", id.0);
            return Err(ChangeRefusal::StoreInUse(text).into());
        }
        Ok(store)
    }

    /// Writes a store without a check or a line.
    pub(super) fn write_store(&mut self, store: &StoreInfo) -> Res<()> {
        facts::given(self.db, Fact::LastStore, store.id.0)?;
        self.effect.configuration = true;
        Ok(rows::put(self.db, "store", mailboxes::column(store.id)?, store)?)
    }

    /// [`crate::Change::PutStore`].
    pub(super) fn put_store(&mut self, mut store: StoreInfo) -> Res<()> {
        i64::try_from(store.id.0).map_err(|_| invalid("the number is too large"))?;
        if store.id.0 == 0 {
            return Err(invalid("stores are counted from 1").into());
        }
        store.replicas.sort_unstable();
        store.replicas.dedup();
        if !store.replicas.contains(&store.home) {
            return Err(invalid("the home of a store is one of its replicas").into());
        }
        if !(1..=StoreInfo::MAX_WANTED).contains(&store.wanted) {
            let text = format!("a store has 1 to {} replicas", StoreInfo::MAX_WANTED);
            return Err(invalid(text).into());
        }
        let before = rows::store(self.db, store.id)?;
        if before.as_ref() == Some(&store) {
            return Ok(());
        }
        let present = before.as_ref().map_or(&[][..], |store| &store.replicas);
        for id in &store.replicas {
            // on a new cluster stores may be put before their nodes
            match rows::node(self.db, *id)? {
                Some(node) if !node.is_member() => {
                    return Err(ChangeRefusal::NodeRemoved(*id).into());
                }
                None if !present.contains(id) && rows::any(self.db, "node")? => {
                    return Err(ChangeRefusal::NotFound(format!("node {id}")).into());
                }
                _ => {}
            }
        }
        let id = store.id.0;
        if before.is_some_and(|before| before.retired && !store.retired) {
            self.say(format!("store {id} is in use again"));
        }
        let replicas: Vec<String> = store.replicas.iter().map(u64::to_string).collect();
        self.say(format!(
            "store {id} has its home on node {}, replicas on {}, {} wanted",
            store.home,
            replicas.join(", "),
            store.wanted
        ));
        self.write_store(&store)
    }

    /// [`crate::Change::RetireStore`].
    pub(super) fn retire_store(&mut self, id: StoreId) -> Res<()> {
        let mut store = self.existing_store(id)?;
        if store.retired {
            return Ok(());
        }
        let others = rows::all::<StoreInfo>(self.db, "store")?;
        if !others.iter().any(|other| other.id != id && !other.retired) {
            let text = format!("store {} is the only one that takes mailboxes", id.0);
            return Err(ChangeRefusal::StoreInUse(text).into());
        }
        store.retired = true;
        self.say(format!("store {} is taken out of use", id.0));
        self.write_store(&store)
    }

    /// [`crate::Change::RemoveStore`].
    pub(super) fn remove_store(&mut self, id: StoreId) -> Res<()> {
        let store = self.existing_store(id)?;
        let mailboxes = mailboxes::number(self.db, id)?;
        if !store.retired || mailboxes > 0 {
            let text = match store.retired {
                true => format!("store {} still has {mailboxes} mailboxes", id.0),
                false => format!("store {} is in use; retire it first", id.0),
            };
            return Err(ChangeRefusal::StoreInUse(text).into());
        }
        facts::given(self.db, Fact::LastStore, id.0)?;
        self.db
            .prepare_cached("delete from store where id = ?")?
            .execute([mailboxes::column(id)?])?;
        self.effect.configuration = true;
        self.say(format!("removed the empty store {}", id.0));
        Ok(())
    }
}
