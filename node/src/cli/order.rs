//! Orders to the cluster: shown first, asked for, then given.

use std::io::IsTerminal;

use anyhow::{Context, Result, bail};
use clap::Args;
use posthouse_http::{ClusterOrder, ClusterOutcome, ClusterPlan, ClusterStatus};
use serde_json::json;

use super::{Session, output::visible};

/// Whether to do it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Confirm {
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking.
    #[arg(long, short)]
    yes: bool,
}

impl Confirm {
    /// Whether to do it, after what it means has been said; asks where that is left open.
    pub(crate) fn given(self, json: bool) -> Result<bool> {
        match (self.dry_run, self.yes) {
            (true, _) => Ok(false),
            (false, true) => Ok(true),
            (false, false) => asks(json),
        }
    }
}

fn asks(json: bool) -> Result<bool> {
    if json || !std::io::stdin().is_terminal() {
        bail!("nothing was changed: add --yes to do it without being asked, or --dry-run");
    }
    eprint!("Go on? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

impl Session {
    /// Says what the order will do, asks, and does it. `done`: what to say then.
    pub(super) async fn order(
        &self,
        order: ClusterOrder,
        confirm: Confirm,
        done: &str,
    ) -> Result<()> {
        let shown = self.give(&order, true).await?;
        if confirm.dry_run && self.json {
            return self.print_object(&serde_json::to_value(&shown)?);
        }
        if !self.json {
            for line in plan_lines(&shown.plan) {
                say!("{line}");
            }
        }
        if !shown.plan.refuses.is_empty() {
            bail!("refused, nothing was changed: {}", shown.plan.refuses.join(" "));
        }
        if confirm.dry_run {
            say!("Nothing was changed (--dry-run).");
            return Ok(());
        }
        if !confirm.yes && !self.asks()? {
            bail!("nothing was changed");
        }
        let outcome = self.give(&order, false).await?;
        if let Some(invite) = &outcome.invite
            && !self.json
        {
            super::cluster::print_invite(invite);
        }
        self.done(done, &serde_json::to_value(&outcome)?)
    }

    async fn give(&self, order: &ClusterOrder, dry_run: bool) -> Result<ClusterOutcome> {
        let body = json!({ "order": order, "dry_run": dry_run });
        let answer = self.post("cluster/orders", &body).await?;
        serde_json::from_value(answer).context("the node's answer is not the one of this version")
    }

    fn asks(&self) -> Result<bool> {
        asks(self.json)
    }

    /// The state of the cluster.
    pub(super) async fn cluster(&self) -> Result<ClusterStatus> {
        let answer = self.get("cluster").await?;
        serde_json::from_value(answer).context("the node's answer is not the one of this version")
    }

    /// The number of a node that is named by number, host name or the first label of it.
    pub(super) async fn node_id(&self, name: &str) -> Result<u64> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        find_node(&self.cluster().await?, name)
    }
}

fn find_node(status: &ClusterStatus, name: &str) -> Result<u64> {
    let wanted = name.to_lowercase();
    let label = |host: &str| host.split('.').next().unwrap_or(host).to_owned();
    let exact = status.nodes.iter().filter(|node| node.host.to_lowercase() == wanted);
    let mut found: Vec<u64> = exact.map(|node| node.id).collect();
    if found.is_empty() {
        let by_label = status.nodes.iter().filter(|node| label(&node.host) == wanted);
        found = by_label.map(|node| node.id).collect();
    }
    match found.as_slice() {
        [] => bail!("there is no node {name}: `posthouse cluster status` lists them"),
        [id] => Ok(*id),
        several => bail!("several nodes are called {name} ({several:?}): give the number"),
    }
}

fn plan_lines(plan: &ClusterPlan) -> Vec<String> {
    let clean = |text: &String| text.chars().map(visible).collect::<String>();
    let steps = plan.steps.iter().enumerate();
    let mut lines: Vec<String> =
        steps.map(|(number, step)| format!("{}. {}", number + 1, clean(step))).collect();
    lines.extend(plan.warnings.iter().map(|text| format!("! {}", clean(text))));
    lines
}

#[cfg(test)]
mod tests {
    use posthouse_http::ClusterNode;

    use super::*;

    #[test]
    fn nodes_are_found_by_host_name_or_its_first_label() {
        let node = |id, host: &str| ClusterNode { id, host: host.to_owned(), ..Default::default() };
        let status = ClusterStatus {
            nodes: vec![node(1, "n1.a.test"), node(2, "n2.a.test"), node(3, "n2.b.test")],
            ..Default::default()
        };
        assert_eq!(find_node(&status, "N1").unwrap(), 1);
        assert_eq!(find_node(&status, "n2.b.test").unwrap(), 3);
        assert!(find_node(&status, "n2").unwrap_err().to_string().contains("[2, 3]"));
        assert!(find_node(&status, "n4").is_err());
    }

    #[test]
    fn plans_are_numbered_and_escape_codes_do_not_reach_the_terminal() {
        let plan = ClusterPlan {
            steps: vec!["Empty it.".to_owned(), "Remove \u{1b}[2Jit.".to_owned()],
            warnings: vec!["It takes long.".to_owned()],
            refuses: Vec::new(),
        };
        let lines = plan_lines(&plan);
        assert_eq!(lines, ["1. Empty it.", "2. Remove \u{fffd}[2Jit.", "! It takes long."]);
    }
}
