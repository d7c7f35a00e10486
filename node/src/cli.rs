//! The command line. Everything but `run` and `setup` goes through the admin API of a running node.

/// Prints a line. A reader that has had enough (`| head`) ends the program quietly.
macro_rules! say {
    ($($arguments:tt)*) => {
        if let Err(error) = std::io::Write::write_fmt(
            &mut std::io::stdout(),
            format_args!("{}\n", format_args!($($arguments)*)),
        ) && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            std::process::exit(0);
        }
    };
}

mod accounts;
mod cluster;
mod cluster_screen;
mod order;
pub(crate) use order::Confirm;
mod output;
mod selfcheck;
pub(crate) mod setup;
mod stores;
mod system;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{client::Client, config::Profile, logging};

/// A company's own mail and groupware. Source: AGPL-3.0-or-later.
#[derive(Debug, Parser)]
#[command(name = "posthouse", version, about, propagate_version = true)]
#[command(after_help = "\
Examples:
  posthouse run --data /var/lib/posthouse           start the node
  posthouse setup --data /var/lib/posthouse         set it up in this terminal
  posthouse user add anna --display-name 'Anna Berg'
  posthouse resolve sales@example.test              where mail for an address goes, and why
  posthouse auth explain anna                       why the last sign-ons of anna failed")]
pub(crate) struct Arguments {
    /// Data folder of the node.
    #[arg(long, global = true, env = "POSTHOUSE_DATA", default_value = "/var/lib/posthouse")]
    data: PathBuf,
    /// Print the API's JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until it is stopped.
    Run(RunArguments),
    /// Set the node up in this terminal, or from an answers file. It must not be running.
    Setup(setup::SetupArguments),
    /// Make this data folder that of a new node of a cluster, with a code from `posthouse cluster invite`. It
    /// must not be running.
    Join(crate::join::JoinArguments),
    /// How the node is doing.
    Status,
    /// Show that mail, sign-on and address book work, with a user made for it and removed again.
    Check,
    /// Domains.
    #[command(subcommand)]
    Domain(accounts::DomainCommand),
    /// Users.
    #[command(subcommand)]
    User(accounts::UserCommand),
    /// Groups.
    #[command(subcommand)]
    Group(accounts::GroupCommand),
    /// Aliases.
    #[command(subcommand)]
    Alias(accounts::AliasCommand),
    /// Where mail for an address goes, and why.
    Resolve {
        /// The address.
        address: String,
    },
    /// External directories that accounts are mapped from.
    #[command(subcommand)]
    Source(system::SourceCommand),
    /// Sign-on: explanations, keytab.
    #[command(subcommand)]
    Auth(system::AuthCommand),
    /// Messages that wait for another server.
    #[command(subcommand)]
    Queue(system::QueueCommand),
    /// Settings of the whole domain.
    #[command(subcommand)]
    Setting(system::SettingCommand),
    /// Nodes of the cluster: their state, joining, leaving, replacing.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Stores of the cluster, and moves of mailboxes between them.
    #[command(subcommand)]
    Store(stores::StoreCommand),
    /// Who changed what.
    Audit {
        /// At most so many lines.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Fill the domain for trials.
    #[command(subcommand)]
    Demo(system::DemoCommand),
    /// Print the API's OpenAPI document.
    Openapi,
}

/// How to run the node.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    /// Ports where `node.toml` does not say: well-known ones, unprivileged ones on 127.0.0.1, or free ones.
    #[arg(long, value_enum)]
    pub(crate) listen: Option<Profile>,
    /// Set a new node up from this answers file (TOML). Without it: from the systemd credential `answers`, if there is one.
    #[arg(long)]
    pub(crate) answers: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) log_format: logging::Format,
    /// What is logged, such as `info,mail=debug`.
    #[arg(long, env = "POSTHOUSE_LOG")]
    pub(crate) log_filter: Option<String>,
}

/// What commands that talk to a node need.
pub(crate) struct Session {
    client: Client,
    json: bool,
}

/// Runs a command.
pub(crate) async fn dispatch(arguments: Arguments) -> Result<()> {
    let Arguments { data, json, command } = arguments;
    match command {
        Command::Run(run) => {
            logging::start(run.log_format, run.log_filter.as_deref())?;
            return crate::run::run(&data, &run).await;
        }
        Command::Setup(setup) => return setup::setup(&data, setup).await,
        Command::Cluster(cluster::ClusterCommand::Recover(recover)) => {
            return crate::recover::command(&data, recover, json).await;
        }
        Command::Join(join) => return crate::join::command(&data, join, json).await,
        Command::Openapi => {
            say!("{}", posthouse_http::openapi().trim_end());
            return Ok(());
        }
        _ => {}
    }
    let session = Session { client: Client::of(&data)?, json };
    match command {
        Command::Status => system::status(&session).await,
        Command::Check => selfcheck::check(&session, &data).await,
        Command::Domain(command) => accounts::domain(&session, command).await,
        Command::User(command) => accounts::user(&session, command).await,
        Command::Group(command) => accounts::group(&session, command).await,
        Command::Alias(command) => accounts::alias(&session, command).await,
        Command::Resolve { address } => system::resolve(&session, &address).await,
        Command::Source(command) => system::source(&session, command).await,
        Command::Auth(command) => system::auth(&session, command).await,
        Command::Queue(command) => system::queue(&session, command).await,
        Command::Setting(command) => system::setting(&session, command).await,
        Command::Cluster(command) => cluster::cluster(&session, command).await,
        Command::Store(command) => stores::store(&session, command).await,
        Command::Audit { limit } => system::audit(&session, limit).await,
        Command::Demo(command) => system::demo(&session, command).await,
        Command::Run(_) | Command::Setup(_) | Command::Join(_) | Command::Openapi => Ok(()),
    }
}
