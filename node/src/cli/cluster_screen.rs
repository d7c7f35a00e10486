//! The state of the cluster as text.

use std::time::Duration;

use posthouse_http::{ClusterNode, ClusterNodeState, ClusterReplica, ClusterStatus, ClusterStore};

use super::output::{table, visible};

/// Shown for what no node could tell.
const UNKNOWN: &str = "?";
const DAY: u64 = 24 * 60 * 60;

/// The whole screen.
pub(super) fn lines(status: &ClusterStatus) -> Vec<String> {
    let mut lines = head(status);
    section(&mut lines, "", table(&node_rows(status)));
    section(&mut lines, "", stores(status));
    if status.nodes.iter().filter(|node| is_member(node)).count() > 1 {
        section(&mut lines, "Round trips (who asks, whom)", table(&matrix_rows(status)));
    }
    section(&mut lines, "If a node were lost now", losses(status));
    let moves = status.moves.iter().map(|one| {
        let share = share(one.bytes_done, one.bytes);
        format!("  {}: store {} → {}, {share}{}", one.name, one.from, one.to, why(&one.problem))
    });
    section(&mut lines, "Moves of mailboxes", moves.collect());
    let planned = status.planned.iter().map(|one| format!("  {} ({})", one.action, one.reason));
    section(&mut lines, "What comes next by itself", planned.collect());
    let warnings = status.warnings.iter().map(|text| format!("  ! {text}")).collect();
    section(&mut lines, "Needs attention", warnings);
    lines.into_iter().map(|line| line.chars().map(visible).collect()).collect()
}

/// The table of stores.
pub(super) fn stores(status: &ClusterStatus) -> Vec<String> {
    let heading = ["STORE", "HOME", "LEADER", "REPLICAS", "MAILBOXES", "SIZE", "MAJORITY"];
    let mut rows = vec![owned(&heading)];
    rows.extend(status.stores.iter().map(store_row));
    table(&rows)
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == UNITS[0] { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn section(lines: &mut Vec<String>, title: &str, body: Vec<String>) {
    if body.is_empty() {
        return;
    }
    lines.push(String::new());
    if !title.is_empty() {
        lines.push(title.to_owned());
    }
    lines.extend(body);
}

fn is_member(node: &ClusterNode) -> bool {
    node.state != ClusterNodeState::Removed
}

fn numbers(nodes: &[u64]) -> String {
    let texts: Vec<_> = nodes.iter().map(u64::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

fn why(problem: &str) -> String {
    if problem.is_empty() { String::new() } else { format!(": {problem}") }
}

fn share(done: u64, all: u64) -> String {
    match (done.min(all) * 100).checked_div(all) {
        Some(percent) => format!("{percent} % of {}", size(all)),
        None => "not begun".to_owned(),
    }
}

fn head(status: &ClusterStatus) -> Vec<String> {
    let group = &status.domain_group;
    let this = status.nodes.iter().find(|node| node.id == status.this_node);
    let host = this.map_or("", |node| &node.host);
    let leader = match group.leader {
        Some(node) => format!("led by node {node}"),
        None => "without a leader".to_owned(),
    };
    let majority = if group.quorum { "a majority answers" } else { "NO MAJORITY ANSWERS" };
    let mut lines = vec![
        format!("Cluster {}, seen from node {} ({host})", status.name, status.this_node),
        format!(
            "Directory: {leader}, voters {}, without vote {}, {majority}, level {}",
            numbers(&group.voters),
            numbers(&group.learners),
            group.level
        ),
        if status.settings_writable {
            "Settings: can be changed".to_owned()
        } else {
            format!("Settings: READ-ONLY: {}", status.read_only_reason)
        },
    ];
    let authority = &status.authority;
    if !authority.fingerprint.is_empty() {
        lines.push(format!(
            "Authority: SHA-256 {}, {} days left",
            authority.fingerprint,
            number(authority.days)
        ));
    }
    if !authority.next_fingerprint.is_empty() {
        lines.push(format!(
            "           is being replaced by {}; still without its certificate: {}",
            authority.next_fingerprint,
            numbers(&authority.waiting_for)
        ));
    }
    lines
}

fn node_rows(status: &ClusterStatus) -> Vec<Vec<String>> {
    let heading = [
        "NODE",
        "HOST",
        "SITE",
        "STATE",
        "VERSION",
        "LEVEL",
        "CERTIFICATE",
        "CLOCK",
        "DISK FREE",
        "UP",
        "LAG",
        "LEADS",
        "HOLDS",
    ];
    let mut rows = vec![owned(&heading)];
    rows.extend(status.nodes.iter().map(node_row));
    rows
}

fn node_row(node: &ClusterNode) -> Vec<String> {
    if !is_member(node) {
        let mut row = vec![node.id.to_string(), node.host.clone(), node.site.clone()];
        row.push("removed".to_owned());
        return row;
    }
    let state = match (node.state, node.reachable) {
        (_, false) => "NOT REACHED",
        (ClusterNodeState::Draining, true) => "draining",
        _ => "active",
    };
    let disk = match (node.disk_free, node.disk_total) {
        (Some(free), Some(total)) => format!("{} of {}", size(free), size(total)),
        (Some(free), None) => size(free),
        _ => UNKNOWN.to_owned(),
    };
    let unit = |value: Option<String>, unit: &str| {
        value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value} {unit}"))
    };
    vec![
        node.id.to_string(),
        node.host.clone(),
        node.site.clone(),
        state.to_owned(),
        node.version.clone(),
        node.level.to_string(),
        unit(node.certificate_days.map(|days| days.to_string()), "days"),
        unit(node.clock_difference_ms.map(|difference| format!("{difference:+}")), "ms"),
        disk,
        node.uptime.map_or_else(|| UNKNOWN.to_owned(), up),
        number(node.domain_lag),
        numbers(&node.stores_led),
        numbers(&node.stores_held),
    ]
}

fn up(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..DAY => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / DAY),
    }
}

fn store_row(store: &ClusterStore) -> Vec<String> {
    let replicas: Vec<_> = store.replicas.iter().map(|one| replica(one, store.leader)).collect();
    let majority = if store.quorum { "yes" } else { "NO" };
    vec![
        store.id.to_string(),
        store.home.to_string(),
        number(store.leader),
        format!("{} ({} wanted)", replicas.join(", "), store.wanted),
        store.mailboxes.to_string(),
        size(store.bytes),
        majority.to_owned(),
    ]
}

fn replica(replica: &ClusterReplica, leader: Option<u64>) -> String {
    let mut notes = Vec::new();
    if !replica.reachable && leader != Some(replica.node) {
        notes.push("not reached".to_owned());
    }
    if !replica.voter {
        notes.push("no vote".to_owned());
    }
    if let Some(progress) = replica.progress {
        notes.push(format!("{progress:.0} %"));
    }
    if let Some(lag) = replica.lag.filter(|lag| *lag > 0) {
        notes.push(format!("{lag} behind"));
    }
    if let Some(bodies) = replica.missing_bodies.filter(|bodies| *bodies > 0) {
        notes.push(format!("{bodies} bodies missing"));
    }
    match notes.as_slice() {
        [] => replica.node.to_string(),
        notes => format!("{} [{}]", replica.node, notes.join(", ")),
    }
}

fn matrix_rows(status: &ClusterStatus) -> Vec<Vec<String>> {
    let members: Vec<u64> =
        status.nodes.iter().filter(|node| is_member(node)).map(|node| node.id).collect();
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(members.iter().map(u64::to_string))
            .collect::<Vec<_>>(),
    ];
    for from in &members {
        let cells = members.iter().map(|to| link(status, *from, *to));
        rows.push(std::iter::once(from.to_string()).chain(cells).collect());
    }
    rows
}

fn link(status: &ClusterStatus, from: u64, to: u64) -> String {
    if from == to {
        return "-".to_owned();
    }
    match status.matrix.iter().find(|link| link.from == from && link.to == to) {
        None => UNKNOWN.to_owned(),
        Some(link) if !link.reachable => "CUT".to_owned(),
        Some(link) => match link.round_trip_us {
            None => "yes".to_owned(),
            Some(us) => {
                let ms = Duration::from_micros(us).as_secs_f64() * 1000.0;
                if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
            }
        },
    }
}

fn losses(status: &ClusterStatus) -> Vec<String> {
    let told = status.nodes.iter().filter(|node| is_member(node) && !node.what_if_lost.is_empty());
    let lost = told.map(|node| format!("  {} ({}): {}", node.id, node.host, node.what_if_lost));
    let wrong = status.nodes.iter().filter(|node| is_member(node) && !node.problem.is_empty());
    lost.chain(wrong.map(|node| format!("  ! node {}: {}", node.id, node.problem))).collect()
}

#[cfg(test)]
mod tests;
