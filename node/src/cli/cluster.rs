//! Commands for the nodes of the cluster.

use anyhow::{Context, Result};
use clap::Subcommand;
use posthouse_http::{ClusterOrder, NewInvite};
use serde_json::{Value, json};

use super::{Session, cluster_screen, order::Confirm, output::Column, system::when};

const INVITES: &[Column] = &[
    ("ID", "id"),
    ("STATE", "state"),
    ("FOR", "host"),
    ("MADE", "created"),
    ("GOOD UNTIL", "expires"),
    ("NODE", "node"),
];

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Nodes, stores, who reaches whom, and what needs attention.
    #[command(after_help = "\
Examples:
  posthouse cluster status
  posthouse cluster status --json | jq '.nodes[] | select(.reachable | not)'")]
    Status,
    /// Make a code with which one new node can join.
    #[command(after_help = "\
Examples:
  posthouse cluster invite                            for any node, as long as cluster.invite_minutes says
  posthouse cluster invite --host n2.example.test     only for a node of this name
  posthouse cluster invite --minutes 1440             good for a day
Then, on the new node:
  posthouse join CODE --host n2.example.test --site berlin")]
    Invite {
        /// Only a node of this host name may use it.
        #[arg(long, default_value = "")]
        host: String,
        /// How long it is good, in minutes; at most seven days.
        #[arg(long)]
        minutes: Option<u32>,
    },
    /// List invites and what became of them.
    Invites,
    /// Make an invite worthless.
    #[command(
        after_help = "Example:\n  posthouse cluster revoke 0199f2a1-7c1e-7000-8000-1f2e3d4c5b6a"
    )]
    Revoke {
        /// Its id, from `posthouse cluster invites`.
        id: String,
    },
    /// Remove a node for good. Refused while it has what no other node has.
    #[command(after_help = "\
Examples:
  posthouse cluster remove n3 --dry-run      what would be done, and what stands against it
  posthouse cluster remove n3                a node that still runs is emptied first
  posthouse cluster remove n3 --force        a dead node that had the only copy of something")]
    Remove {
        /// Number or host name.
        node: String,
        /// It will not come back: go on although something is lost. What it is, is said first.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Hand everything over and take this node out of the cluster.
    #[command(
        after_help = "Example, on the node that leaves:\n  posthouse cluster leave --dry-run"
    )]
    Leave {
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Make a code for a node that takes the place of a dead one: its stores, its votes.
    #[command(after_help = "\
Example:
  posthouse cluster replace n3
Then, on the new node:
  posthouse join CODE --host n4.example.test")]
    Replace {
        /// Number or host name of the dead node.
        node: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Put a node into another site.
    #[command(after_help = "Example:\n  posthouse cluster set-site n3 hamburg")]
    SetSite {
        /// Number or host name.
        node: String,
        /// Name of the site.
        site: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Replace the authority that certifies nodes, without downtime.
    #[command(after_help = "\
Examples:
  posthouse cluster rotate-ca                all nodes get certificates of a new authority; the old one ends then
  posthouse cluster status                   shows which nodes are still to get theirs
  posthouse cluster rotate-ca --finish       do not wait for nodes that are away: they join again by code")]
    RotateCa {
        /// Stop trusting the old authority now, without waiting for nodes that are away.
        #[arg(long)]
        finish: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Go on with one replica of a store whose majority is lost for good. What may be missing is said first.
    #[command(after_help = "\
Example, with two nodes of which the first is lost:
  posthouse cluster promote 1 n2 --dry-run
  posthouse cluster promote 1 n2")]
    Promote {
        /// The store.
        store: u64,
        /// The node whose replica goes on: number or host name.
        node: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Go on alone with the directory when most of its voters are lost for good. This node must not be running.
    Recover(crate::recover::RecoverArguments),
}

pub(super) async fn cluster(session: &Session, command: ClusterCommand) -> Result<()> {
    match command {
        ClusterCommand::Status => status(session).await,
        ClusterCommand::Invite { host, minutes } => invite(session, &host, minutes).await,
        ClusterCommand::Invites => {
            let mut list = session.get("cluster/invites").await?;
            if !session.json {
                for invite in list.as_array_mut().into_iter().flatten() {
                    for key in ["created", "expires"] {
                        invite[key] = json!(when(&invite[key]));
                    }
                }
            }
            session.print_list(&list, INVITES)
        }
        ClusterCommand::Revoke { id } => {
            session.delete(&format!("cluster/invites/{}", super::accounts::encode(&id))).await?;
            session.done("The code of this invite is worthless now.", &Value::Null)
        }
        command => change(session, command).await,
    }
}

async fn change(session: &Session, command: ClusterCommand) -> Result<()> {
    match command {
        // needs no running node; see `dispatch`
        ClusterCommand::Recover(_) => Ok(()),
        ClusterCommand::Remove { node, force, confirm } => {
            let order = ClusterOrder::Remove { node: session.node_id(&node).await?, force };
            session.order(order, confirm, &format!("{node} is being removed.")).await
        }
        ClusterCommand::Leave { confirm } => {
            let done = "This node hands everything over and leaves.";
            session.order(ClusterOrder::Leave, confirm, done).await
        }
        ClusterCommand::Replace { node, confirm } => {
            let order = ClusterOrder::Replace { node: session.node_id(&node).await? };
            let done = format!("The node that joins with this code takes the place of {node}.");
            session.order(order, confirm, &done).await
        }
        ClusterCommand::SetSite { node, site, confirm } => {
            let done = format!("{node} is in the site {site}.");
            let order = ClusterOrder::SetSite { node: session.node_id(&node).await?, site };
            session.order(order, confirm, &done).await
        }
        ClusterCommand::RotateCa { finish, confirm } => {
            let done = if finish {
                "The old authority is not trusted any more."
            } else {
                "Nodes get certificates of the new authority. The old one ends by itself when all have theirs."
            };
            session.order(ClusterOrder::RotateAuthority { finish }, confirm, done).await
        }
        ClusterCommand::Promote { store, node, confirm } => {
            let order = ClusterOrder::Promote { store, node: session.node_id(&node).await? };
            let done = format!("Store {store} goes on with the replica of {node}.");
            session.order(order, confirm, &done).await
        }
        ClusterCommand::Status
        | ClusterCommand::Invite { .. }
        | ClusterCommand::Invites
        | ClusterCommand::Revoke { .. } => Ok(()),
    }
}

async fn status(session: &Session) -> Result<()> {
    if session.json {
        return session.print_object(&session.get("cluster").await?);
    }
    for line in cluster_screen::lines(&session.cluster().await?) {
        say!("{line}");
    }
    Ok(())
}

async fn invite(session: &Session, host: &str, minutes: Option<u32>) -> Result<()> {
    let body = json!({ "host": host, "minutes": minutes });
    let answer = session.post("cluster/invites", &body).await?;
    if session.json {
        return session.print_object(&answer);
    }
    let invite: NewInvite = serde_json::from_value(answer)
        .context("the node's answer is not the one of this version")?;
    print_invite(&invite);
    Ok(())
}

/// Shows a code and how to use it.
pub(super) fn print_invite(invite: &NewInvite) {
    say!("{}", invite.code);
    say!("");
    say!("The code works once, until {}. On the new node:", when(&json!(invite.expires)));
    say!("  posthouse join CODE --host HOST --site SITE");
    say!("It has to reach one of: {}", invite.addresses.join(", "));
    say!("To take it back: posthouse cluster revoke {}", invite.id);
}
