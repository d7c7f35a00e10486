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

/// Categories are tracing targets; libraries speak only when something is wrong. The consensus library takes every
/// heartbeat to a stopped node for something wrong: what matters of that is in our own lines.
const DEFAULT: &str = "warn,config=info,mail=info,security=info,warning=info,operation=info,error=info,spam=info,openraft=off";

/// Libraries whose lines hold whole protocol messages, passwords among them: silent, whatever the filter says.
/// What goes wrong in them comes back as an error and is logged by who called them.
const SILENCED: &str = "ldap3_proto=off,ldap3=off";

/// The filter that a node logs by: the given one, but nothing from the [`SILENCED`] libraries.
fn filter(wanted: &str) -> anyhow::Result<EnvFilter> {
    let names_silenced = |part: &&str| part.trim_start().starts_with("ldap3");
    // A directive for a module inside of a silenced library would be more exact than ours.
    let kept: Vec<_> = wanted.split(',').filter(|part| !names_silenced(part)).collect();
    EnvFilter::try_new(kept.join(",") + "," + SILENCED)
        .map_err(|e| anyhow::anyhow!("--log-filter cannot be used: {e}"))
}

/// Starts logging. `filter` is a tracing filter such as `info,mail=debug`.
pub(crate) fn start(format: Format, filter: Option<&str>) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(self::filter(filter.unwrap_or(DEFAULT))?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_print_messages_stay_silent_whatever_is_asked_for() {
        for wanted in [
            DEFAULT,
            "trace",
            "",
            "ldap3_proto=trace",
            "info, ldap3_proto::proto=trace,mail=debug",
            "ldap3",
        ] {
            let text = filter(wanted).unwrap().to_string();
            assert!(
                text.contains("ldap3_proto=off") && text.contains("ldap3=off"),
                "{wanted}: {text}"
            );
            assert!(
                !text.contains("ldap3_proto=trace") && !text.contains("proto::proto"),
                "{text}"
            );
        }
        assert!(filter("mail=loud").is_err());
    }

    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_silenced_library_is_not_heard_and_others_are() {
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer().with_writer(move || writer.clone());
        let everything = filter("trace,ldap3_proto=trace").unwrap();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(everything).with(layer),
            || {
                tracing::trace!(target: "ldap3_proto::proto", "a password");
                tracing::error!(target: "ldap3::conn", "a password");
                tracing::trace!(target: "mail", "a message");
            },
        );
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("a message") && !text.contains("a password"), "{text}");
    }
}
