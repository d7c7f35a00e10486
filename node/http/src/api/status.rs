//! The state of the node on one page.

use std::sync::Arc;

use axum::{Json, extract::State};
use posthouse_cluster::GroupStatus;
use posthouse_directory::Listing;
use posthouse_store::SpoolId;
use serde::Serialize;
use utoipa::ToSchema;

use super::queue;
use crate::Context;

/// Free space below which the administrator is warned, in bytes.
const LOW_DISK: u64 = 2 << 30;

/// The state of the node.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// Version of the program.
    version: String,
    /// Host name.
    host: String,
    /// Present time of the node, in milliseconds since the Unix epoch.
    now: u64,
    /// When the node started.
    started: u64,
    /// Whether the node serves everything.
    ready: bool,
    /// Free bytes where the data is; missing if it cannot be read.
    disk_free: Option<u64>,
    /// How many there are.
    counts: Counts,
    /// Raft groups of this node.
    groups: Vec<RaftGroup>,
    /// What needs attention, the gravest first.
    problems: Vec<StatusProblem>,
}

/// How many there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Domains.
    domains: usize,
    /// Users.
    users: usize,
    /// Groups.
    groups: usize,
    /// Aliases.
    aliases: usize,
    /// Contacts.
    contacts: usize,
    /// Sources.
    sources: usize,
    /// Messages in the queue, counted up to 1,000.
    queue: usize,
}

/// One Raft group.
#[derive(Serialize, ToSchema)]
pub(crate) struct RaftGroup {
    /// Its number.
    id: u64,
    /// Its name.
    name: String,
    /// The node that leads it, where known.
    leader: Option<u64>,
    /// Current term.
    term: u64,
    /// Last index in the log.
    last_log: u64,
    /// Last index that took effect.
    applied: u64,
    /// Last index that is in a durable checkpoint.
    checkpoint: u64,
    /// Why it no longer acknowledges, if so.
    failed: Option<String>,
}

/// Something that needs attention.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusProblem {
    /// Whether something does not work now.
    grave: bool,
    /// What it is.
    message: String,
    /// What to do.
    remedy: String,
}

impl From<GroupStatus> for RaftGroup {
    fn from(group: GroupStatus) -> Self {
        Self {
            id: group.id.0,
            name: group.name,
            leader: group.leader.map(|node| node.0),
            term: group.term,
            last_log: group.last_log,
            applied: group.applied,
            checkpoint: group.checkpoint,
            failed: group.failed,
        }
    }
}

/// The state of the node.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(context): State<Arc<Context>>) -> Json<Status> {
    let groups: Vec<RaftGroup> = (context.groups)().into_iter().map(RaftGroup::from).collect();
    let disk_free = free_space(&context).await;
    let ready = (context.ready)();
    let mut problems = problems(&context, &groups, disk_free);
    if let Err(why) = &ready {
        let remedy = "The error log of the node says more.".to_owned();
        problems.insert(0, StatusProblem { grave: true, message: why.clone(), remedy });
    }
    Json(Status {
        version: context.version.clone(),
        host: context.host.clone(),
        now: context.env.clock.now().0,
        started: context.started.0,
        ready: ready.is_ok(),
        disk_free,
        counts: counts(&context).await,
        groups,
        problems,
    })
}

async fn free_space(context: &Context) -> Option<u64> {
    let (disk, folder) = (context.env.disk.clone(), context.data_folder.clone());
    tokio::task::spawn_blocking(move || disk.free_space(&folder)).await.ok()?.ok()
}

async fn counts(context: &Context) -> Counts {
    const QUEUE: u32 = 1000;
    let count = |kind| {
        context.directory.list(&Listing { kind: Some(kind), limit: 1, ..Listing::default() }).1
    };
    let queue = queue::entries(context, SpoolId(0), QUEUE).await.map_or(0, |found| found.len());
    Counts {
        domains: context.directory.domains().len(),
        users: count("user"),
        groups: count("group"),
        aliases: count("alias"),
        contacts: count("contact"),
        sources: context.directory.sources().len(),
        queue,
    }
}

fn problems(context: &Context, groups: &[RaftGroup], disk_free: Option<u64>) -> Vec<StatusProblem> {
    let mut problems = Vec::new();
    let mut add = |grave, message: String, remedy: &str| {
        problems.push(StatusProblem { grave, message, remedy: remedy.to_owned() });
    };
    for group in groups {
        if let Some(why) = &group.failed {
            add(
                true,
                format!("the group {} takes no changes: {why}", group.name),
                "Free space or replace the disk, then start the node again.",
            );
        } else if group.leader.is_none() {
            add(
                true,
                format!("the group {} has no leader", group.name),
                "Wait a moment; if it stays so, look at the other nodes.",
            );
        }
    }
    for store in context.stores.all().into_iter().filter(|store| !context.stores.answers(*store)) {
        add(
            true,
            format!("store {} is out of reach of this node", store.0),
            "Look at the line to its nodes, and whether a majority of them runs. Mail for it waits in the queue.",
        );
    }
    if disk_free.is_some_and(|free| free < LOW_DISK) {
        add(
            true,
            "the disk is nearly full".to_owned(),
            "Free some space: when it is full no mail is taken any more.",
        );
    }
    let sources = context.directory.sources();
    for source in sources.iter().filter(|source| source.enabled && !source.problem.is_empty()) {
        add(
            false,
            format!("the source {}: {}", source.name, source.problem),
            "Look at the source and try its test.",
        );
    }
    if !sources.is_empty() && context.auth.keytab().is_empty() {
        add(
            false,
            "there is no keytab, so nobody can sign on with a Kerberos ticket".to_owned(),
            "Make a keytab in the directory and upload it under Kerberos.",
        );
    }
    problems
}
