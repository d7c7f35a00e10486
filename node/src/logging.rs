//! Log lines in categories (DESIGN §9), as text or JSON, on standard error.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Categories are tracing targets; libraries speak only when something is wrong.
const DEFAULT: &str =
    "warn,config=info,mail=info,security=info,warning=info,operation=info,error=info,spam=info";

/// Starts logging. `filter` is a tracing filter such as `info,mail=debug`.
pub(crate) fn start(format: Format, filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT))
        .map_err(|e| anyhow::anyhow!("--log-filter cannot be used: {e}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    match format {
        Format::Text => {
            use std::io::IsTerminal;
            let colors = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(writer).with_ansi(colors)).try_init()?;
        }
        Format::Json => registry.with(fmt::layer().json().with_writer(writer)).try_init()?,
    }
    Ok(())
}
