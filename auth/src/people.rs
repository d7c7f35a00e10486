//! What sign-on needs of the directory; a trait, so that tests can do without a cluster.

use std::sync::Arc;

use posthouse_cluster::env::BoxFuture;
use posthouse_directory::{
    Account, AccountId, Actor, Change, ChangeError, Directory, Rights, SourceSpec, Update,
};
use tokio::sync::broadcast;

pub(crate) trait People: Send + Sync + 'static {
    fn login(&self, name: &str) -> Option<Arc<Account>>;
    fn principal(&self, principal: &str) -> Option<Arc<Account>>;
    fn account(&self, id: AccountId) -> Option<Arc<Account>>;
    fn rights(&self, id: AccountId) -> Rights;
    fn sources(&self) -> Vec<Arc<SourceSpec>>;
    fn integer(&self, key: &str) -> u64;
    fn flag(&self, key: &str) -> bool;
    fn secret(&self, name: &str) -> Option<Arc<Vec<u8>>>;
    fn ephemeral(&self, space: &str, key: &[u8]) -> Option<Arc<Vec<u8>>>;
    fn change(&self, actor: Actor, change: Change) -> BoxFuture<Result<(), ChangeError>>;
    /// Whether a change has a chance at the moment.
    fn can_change(&self) -> bool;
    fn updates(&self) -> broadcast::Receiver<Update>;
}

impl People for Directory {
    fn login(&self, name: &str) -> Option<Arc<Account>> {
        self.login(name)
    }

    fn principal(&self, principal: &str) -> Option<Arc<Account>> {
        self.principal(principal)
    }

    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.account(id)
    }

    fn rights(&self, id: AccountId) -> Rights {
        self.rights(id)
    }

    fn sources(&self) -> Vec<Arc<SourceSpec>> {
        self.sources()
    }

    fn integer(&self, key: &str) -> u64 {
        self.integer(key)
    }

    fn flag(&self, key: &str) -> bool {
        self.setting(key).as_deref() == Some("true")
    }

    fn secret(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        self.secret(name)
    }

    fn ephemeral(&self, space: &str, key: &[u8]) -> Option<Arc<Vec<u8>>> {
        self.ephemeral(space, key)
    }

    fn change(&self, actor: Actor, change: Change) -> BoxFuture<Result<(), ChangeError>> {
        let directory = self.clone();
        Box::pin(async move { directory.change(actor, change).await })
    }

    fn can_change(&self) -> bool {
        self.has_quorum()
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates()
    }
}
