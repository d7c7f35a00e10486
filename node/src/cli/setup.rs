//! `posthouse setup`: the terminal and the answers file, for a node that is not running.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use posthouse_provisioning::{Answers, Checker, Outcome, apply, terminal};

use crate::{
    config::{Layout, NodeConfig, Profile},
    join::FolderJoiner,
    run::checker,
    start::{LazyOpen, SetupOpener},
};

/// How to set up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  posthouse setup --data /var/lib/posthouse
  posthouse setup --data /var/lib/posthouse --answers answers.toml
  posthouse setup --example                  print an answers file to start from")]
pub(crate) struct SetupArguments {
    /// Take the answers from this file (TOML) instead of asking.
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Ports that the node will use; see `posthouse run --help`.
    #[arg(long, value_enum, default_value_t)]
    listen: Profile,
    /// Print an example of an answers file.
    #[arg(long)]
    example: bool,
}

/// The example that `--example` prints; also what `make run` uses.
pub(crate) const EXAMPLE: &str = include_str!("../../example-answers.toml");

pub(super) async fn setup(data: &Path, arguments: SetupArguments) -> Result<()> {
    if arguments.example {
        say!("{}", EXAMPLE.trim_end());
        return Ok(());
    }
    let layout = Layout::create(data)?;
    let mut config = NodeConfig::load(&layout.data)?;
    if !config.host.is_empty() {
        bail!("{} belongs to a node that is set up already; nothing was changed", data.display());
    }
    config.profile = arguments.listen;
    let checker = checker(&layout, &config);
    let answers = match &arguments.answers {
        Some(path) => read(path)?,
        None => ask(checker.clone()).await?,
    };
    let ok = {
        let checks = checker.run(&answers.host, &answers.domain).await;
        terminal::show_checks(&mut terminal::Terminal, &checks)?
    };
    if !ok {
        bail!("set-up cannot go on before the checks marked FAIL are mended; nothing was changed");
    }
    if answers.join.is_some() {
        let joiner = FolderJoiner { layout: layout.clone(), config };
        let joined = posthouse_provisioning::join(&answers, &joiner).await?;
        say!("This is node {} of {} now.", joined.node, joined.cluster);
        say!("Start the node: posthouse run --data {}", layout.data.display());
        return Ok(());
    }
    let lazy = LazyOpen::new(layout.clone(), config, None);
    let outcome = apply(&answers, &SetupOpener(lazy.clone())).await?;
    if let Some(open) = lazy.take().await {
        open.node.shutdown().await?;
    }
    say!("{} is set up.", answers.host);
    show(&outcome);
    say!("Start the node: posthouse run --data {}", layout.data.display());
    Ok(())
}

/// Prints generated passwords and warnings, once.
pub(crate) fn show(outcome: &Outcome) {
    for generated in &outcome.generated {
        say!("Password of {} (shown only now): {}", generated.address, generated.password.expose());
    }
    for warning in &outcome.warnings {
        say!("Warning: {warning}");
    }
}

/// Reads an answers file.
pub(crate) fn read(path: &Path) -> Result<Answers> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the answers file {} cannot be read", path.display()))?;
    Ok(Answers::from_toml(&text)?)
}

async fn ask(checker: Checker) -> Result<Answers> {
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let checks = checker.run("", "").await;
    let asked = tokio::task::spawn_blocking(move || {
        terminal::show_checks(&mut terminal::Terminal, &checks)?;
        terminal::ask(&mut terminal::Terminal, &host)
    });
    Ok(asked.await??)
}
