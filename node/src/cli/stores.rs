//! Commands for stores and moves of mailboxes.

use anyhow::Result;
use clap::Subcommand;
use posthouse_http::ClusterOrder;
use serde_json::{Value, json};

use super::{Session, cluster_screen, order::Confirm, output::Column, system::when};

const MOVES: &[Column] = &[
    ("ID", "id"),
    ("MAILBOX", "name"),
    ("FROM", "from"),
    ("TO", "to"),
    ("STATE", "state"),
    ("MESSAGES", "messages_shown"),
    ("SIZE", "bytes_shown"),
    ("ASKED FOR", "created"),
    ("PROBLEM", "problem"),
];

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// List stores: where they are, who leads, how far their replicas are.
    List,
    /// Move a mailbox to another store while it is used.
    #[command(after_help = "\
Examples:
  posthouse store move anna 2 --dry-run
  posthouse store move anna@example.test 2
  posthouse store moves                      how far it is")]
    Move {
        /// Login name or address.
        user: String,
        /// Number of the store.
        store: u64,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// List moves of mailboxes: running, waiting, and the last ended ones.
    Moves,
    /// Stop a move. The mailbox stays where it was.
    Cancel {
        /// Its id, from `posthouse store moves`.
        id: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Move everything away from a node: mailboxes, replicas, leadership. It stays a member.
    #[command(after_help = "Example:\n  posthouse store drain n3 --dry-run")]
    Drain {
        /// Number or host name.
        node: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Set how many replicas a store should have.
    #[command(after_help = "Example:\n  posthouse store set-replicas 2 3")]
    SetReplicas {
        /// Number of the store.
        store: u64,
        /// How many, 1 to 5.
        replicas: u32,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Let another node lead a store. After a while its home leads again, if that is healthy.
    #[command(after_help = "Example:\n  posthouse store transfer 2 n1")]
    Transfer {
        /// Number of the store.
        store: u64,
        /// Number or host name.
        node: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

pub(super) async fn store(session: &Session, command: StoreCommand) -> Result<()> {
    match command {
        StoreCommand::List => list(session).await,
        StoreCommand::Move { user, store, confirm } => {
            let account = session.id("users", &user).await?.parse()?;
            let done =
                format!("The mailbox of {user} is being moved; `posthouse store moves` shows it.");
            session.order(ClusterOrder::MoveMailbox { account, store }, confirm, &done).await
        }
        StoreCommand::Moves => moves(session).await,
        StoreCommand::Cancel { id, confirm } => {
            let done = "The move was stopped; the mailbox is where it was.";
            session.order(ClusterOrder::CancelMove { id: id.parse()? }, confirm, done).await
        }
        StoreCommand::Drain { node, confirm } => {
            let order = ClusterOrder::Drain { node: session.node_id(&node).await? };
            let done = format!("{node} is being emptied; `posthouse store moves` shows how far.");
            session.order(order, confirm, &done).await
        }
        StoreCommand::SetReplicas { store, replicas, confirm } => {
            let done = format!("Store {store} is to have {replicas} replicas.");
            session.order(ClusterOrder::SetReplicas { store, replicas }, confirm, &done).await
        }
        StoreCommand::Transfer { store, node, confirm } => {
            let order = ClusterOrder::Transfer { store, node: session.node_id(&node).await? };
            session.order(order, confirm, &format!("{node} leads store {store}.")).await
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    if session.json {
        let status = session.get("cluster").await?;
        return session.print_object(&status["stores"]);
    }
    for line in cluster_screen::stores(&session.cluster().await?) {
        say!("{line}");
    }
    Ok(())
}

async fn moves(session: &Session) -> Result<()> {
    let mut list = session.get("cluster/moves").await?;
    if !session.json {
        list.as_array_mut().into_iter().flatten().for_each(show);
    }
    session.print_list(&list, MOVES)
}

/// Numbers of a move in words.
fn show(row: &mut Value) {
    let number = |key: &str| row[key].as_u64().unwrap_or(0);
    let messages = format!("{} of {}", number("messages_done"), number("messages"));
    let size = |key| cluster_screen::size(number(key));
    let bytes = format!("{} of {}", size("bytes_done"), size("bytes"));
    let created = when(&row["created"]);
    row["messages_shown"] = json!(messages);
    row["bytes_shown"] = json!(bytes);
    row["created"] = json!(created);
}
