//! `posthouse cluster recover`: a node that is stopped goes on alone with the directory, because the majority is gone for
//! good. What may be missing is said before anything is done.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use posthouse_cluster::{Environment, Forced, GroupId, Node, NodeId, NodeOptions, OpenError};
use serde::Serialize;

use crate::{
    cli::Confirm,
    config::{Layout, NodeConfig},
};

/// Whether and what to recover.
#[derive(Debug, Args)]
#[command(after_help = "\
Only when most voters of the directory are lost for good. Stop this node first, and make sure that the lost nodes are off.

Examples:
  posthouse cluster recover --data /var/lib/posthouse --dry-run     what may be missing
  posthouse cluster recover --data /var/lib/posthouse

Afterwards: start the node, remove the lost nodes (posthouse cluster remove N --force), and let its copies of stores go on
(posthouse cluster promote STORE NODE).")]
pub(crate) struct RecoverArguments {
    #[command(flatten)]
    confirm: Confirm,
}

/// What comes of it.
#[derive(Debug, Serialize)]
struct Report {
    /// Last entry of the directory that is on this node's disk. What others acknowledged behind it is missing.
    last_entry: u64,
    /// Last entry of which this node knew that a majority had it.
    known_to_majority: u64,
    /// Entries in between: they count from now on.
    uncertain: u64,
    /// Whether it was done.
    done: bool,
}

impl Report {
    fn of(forced: &Forced, done: bool) -> Self {
        Self {
            last_entry: forced.last_index,
            known_to_majority: forced.committed,
            uncertain: forced.uncertain,
            done,
        }
    }
}

/// `posthouse cluster recover`.
pub(crate) async fn command(data: &Path, arguments: RecoverArguments, json: bool) -> Result<()> {
    let layout = Layout::existing(data)?;
    let config = NodeConfig::load(&layout.data)?;
    let options = NodeOptions::alone(NodeId(config.id), layout.log());
    let node = match Node::open(Environment::real(), options).await {
        Ok(node) => node,
        Err(OpenError::InUse(_)) => bail!("the node runs: stop it first"),
        Err(error) => return Err(error.into()),
    };
    let done = recover(&node, &arguments.confirm, json).await;
    node.shutdown().await?;
    done
}

async fn recover(node: &Node, confirm: &Confirm, json: bool) -> Result<()> {
    let would = node.would_force(GroupId::DOMAIN).await?;
    if !json {
        println!("This node becomes the only voter of the directory, with what is on its disk.");
        println!(
            "It has {} entries. What others acknowledged after entry {} and this node did not receive is missing.",
            would.last_index, would.last_index
        );
        if would.uncertain > 0 {
            println!(
                "Of the last {} entries it is not known whether a majority had them: they count from now on.",
                would.uncertain
            );
        }
        println!("The other voters must never come back: remove their nodes afterwards.");
    }
    if !confirm.given(json)? {
        if json {
            println!("{}", serde_json::to_string(&Report::of(&would, false))?);
        }
        return Ok(());
    }
    let forced = node.force_members(GroupId::DOMAIN).await?;
    match json {
        true => println!("{}", serde_json::to_string(&Report::of(&forced, true))?),
        false => println!("Done. Start the node, then remove the lost ones."),
    }
    Ok(())
}
