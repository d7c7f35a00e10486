//! What the leader of a store's group does: it brings the members of the group to those that the directory
//! wants, one step at a time, and gives the leadership back to the home.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use posthouse_cluster::placement;

use super::{Cluster, govern::take};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Runs until it is dropped.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let clock = cluster.parts.env.clock.clone();
    loop {
        clock.sleep(INTERVAL).await;
        let led: BTreeSet<_> = cluster.parts.stores.led_here().into_iter().collect();
        if !led.is_empty() && cluster.parts.directory.is_set_up() {
            cluster.reconcile(&led).await;
        }
    }
}

impl Cluster {
    async fn reconcile(&self, led: &BTreeSet<posthouse_cluster::GroupId>) {
        let mut view = self.world().await;
        let stores = std::mem::take(&mut view.stores);
        for store in stores.iter().filter(|store| led.contains(&store.id)) {
            let (Some(group), Some(here)) = (&store.group, self.parts.stores.store(store.id))
            else {
                continue;
            };
            let target = placement::store_target(&view, store);
            if let Some((step, why)) = placement::next_step(&view, group, &target) {
                take(here.group(), step, &why).await;
            }
        }
    }
}
