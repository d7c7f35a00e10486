//! How a change gets to the leader of the domain group, and what is said when it cannot.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use posthouse_cluster::{Group, NodeId, ProposeError, env::Clock, network::Network};

use crate::{ChangeError, ChangeRefusal};

/// How long a change waits for a majority: an election takes less.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Submits a command, on any node. Its id makes repeating it harmless.
///
/// Nothing is submitted before a majority is known: [`ChangeError::NoMajority`] means that nothing was and will be changed.
/// One that gets lost in the middle is [`ChangeError::Unavailable`]: then nobody can know yet.
pub(crate) async fn submit(
    group: &Group,
    clock: &dyn Clock,
    network: &dyn Network,
    command: Bytes,
) -> Result<Bytes, ChangeError> {
    if !regained(group, clock).await {
        return Err(ChangeError::NoMajority(missing(group, network)));
    }
    tokio::select! {
        biased;
        answer = pin!(group.submit(command)) => answer.map_err(|error| match error {
            ProposeError::TooLarge(size) => {
                let text = format!("the change of {size} bytes is too large");
                ChangeRefusal::Invalid(text).into()
            }
            ProposeError::Storage(text) => ChangeError::Storage(text),
            ProposeError::NotLeader { .. } | ProposeError::Unavailable | ProposeError::Stopping => {
                ChangeError::Unavailable(error.to_string())
            }
        }),
        () = lost(group, clock) => Err(ChangeError::Unavailable(format!(
            "this node has lost the majority of the cluster meanwhile{}; look later whether it was done",
            missing(group, network)
        ))),
    }
}

/// Whether there is a majority, or comes back soon.
async fn regained(group: &Group, clock: &dyn Clock) -> bool {
    let end = clock.monotonic() + PATIENCE;
    loop {
        if group.status().quorum {
            return true;
        }
        if clock.monotonic() >= end {
            return false;
        }
        clock.sleep(LOOK).await;
    }
}

/// Returns when there has been no majority for a while.
async fn lost(group: &Group, clock: &dyn Clock) {
    loop {
        clock.sleep(PATIENCE).await;
        if !regained(group, clock).await {
            return;
        }
    }
}

/// Who does not answer, in words for [`ChangeError::NoMajority`]; empty where that is not known.
pub(crate) fn missing(group: &Group, network: &dyn Network) -> String {
    let members = group.members();
    let silent: Vec<NodeId> = network
        .peers()
        .into_iter()
        .filter(|peer| !peer.reachable && members.voters.contains(&peer.node))
        .map(|peer| peer.node)
        .collect();
    match silent.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one} does not answer)"),
        many => {
            let numbers: Vec<String> = many.iter().map(|node| node.0.to_string()).collect();
            format!(" (nodes {} do not answer)", numbers.join(", "))
        }
    }
}
