//! Set-up in a terminal: questions, one a line, that work over a serial line too.

use std::io::{self, BufRead, Write};

use crate::{Answers, Check, CheckOutcome, DirectoryAnswers, Password, Tls, UserAnswers};

/// Where questions go and answers come from.
pub trait Console {
    /// Writes a line.
    fn say(&mut self, line: &str) -> io::Result<()>;
    /// Asks and returns the answer without the line end; `None` when the input ended.
    fn ask(&mut self, question: &str) -> io::Result<Option<String>>;
    /// Asks without showing what is typed.
    fn ask_secret(&mut self, question: &str) -> io::Result<Option<String>>;
}

/// The terminal that the program was started in.
pub struct Terminal;

impl Console for Terminal {
    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{line}")
    }

    fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let mut out = io::stdout();
        write!(out, "{question} ")?;
        out.flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(line.trim().to_owned()))
    }

    fn ask_secret(&mut self, question: &str) -> io::Result<Option<String>> {
        rpassword::prompt_password(format!("{question} ")).map(Some)
    }
}

/// The input ended or the administrator gave up; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Aborted {
    /// End of input.
    #[error("set-up was aborted; nothing was changed")]
    EndOfInput,
    /// The terminal failed.
    #[error("the terminal failed: {0}")]
    Io(#[from] io::Error),
}

/// Asks everything.
pub fn ask(console: &mut dyn Console, suggested_host: &str) -> Result<Answers, Aborted> {
    console.say("Posthouse set-up. Ctrl-C aborts; nothing is changed before the last question.")?;
    choose_door(console)?;
    let mut answers = Answers { site: "main".to_owned(), ..Answers::default() };
    answers.host =
        field(console, "Host name of this node", suggested_host, "host", |a, v| a.host = v)?;
    let suggested = answers.host.split_once('.').map_or("", |(_, domain)| domain).to_owned();
    answers.domain = field(console, "Mail domain", &suggested, "domain", |a, v| a.domain = v)?;
    let name = field(
        console,
        "Login name of the first administrator",
        "admin",
        "administrator.name",
        |a, v| {
            a.administrator.name = v;
        },
    )?;
    let display_name = question(console, "Name of the first administrator", &name)?;
    let password = new_password(console)?;
    answers.administrator =
        UserAnswers { name, display_name, password: Some(password), phone: String::new() };
    if yes(console, "Map accounts from an Active Directory?", false)? {
        answers.directory = Some(directory(console)?);
    }
    console.say("")?;
    console.say(&format!("Host name      {}", answers.host))?;
    console.say(&format!("Mail domain    {}", answers.domain))?;
    console.say(&format!("Administrator  {}@{}", answers.administrator.name, answers.domain))?;
    let mapped = answers.directory.as_ref().map_or("none", |d| d.domain.as_str());
    console.say(&format!("Directory      {mapped}"))?;
    if yes(console, "Set up like this?", true)? { Ok(answers) } else { Err(Aborted::EndOfInput) }
}

/// Shows checks; false if one failed.
pub fn show_checks(console: &mut dyn Console, checks: &[Check]) -> io::Result<bool> {
    for check in checks {
        let mark = match check.outcome {
            CheckOutcome::Ok => "ok  ",
            CheckOutcome::Warning => "warn",
            CheckOutcome::Failed => "FAIL",
        };
        console.say(&format!("[{mark}] {}: {}", check.name, check.detail))?;
        if !check.remedy.is_empty() {
            console.say(&format!("       {}", check.remedy))?;
        }
    }
    Ok(checks.iter().all(|check| check.outcome != CheckOutcome::Failed))
}

fn choose_door(console: &mut dyn Console) -> Result<(), Aborted> {
    console.say("  1  New domain")?;
    console.say("  2  Join a cluster (comes later)")?;
    console.say("  3  Restore a backup (comes later)")?;
    loop {
        match question(console, "What shall this node be?", "1")?.as_str() {
            "1" => return Ok(()),
            _ => console.say("Only a new domain can be made in this version.")?,
        }
    }
}

/// Asks until the answer has no problem under `name`.
fn field(
    console: &mut dyn Console,
    text: &str,
    suggestion: &str,
    name: &str,
    set: fn(&mut Answers, String),
) -> Result<String, Aborted> {
    loop {
        let value = question(console, text, suggestion)?.to_ascii_lowercase();
        let mut probe = Answers::default();
        set(&mut probe, value.clone());
        match probe.problems().into_iter().find(|problem| problem.field == name) {
            Some(problem) => console.say(&format!("  {}", problem.message))?,
            None => return Ok(value),
        }
    }
}

fn question(console: &mut dyn Console, text: &str, suggestion: &str) -> Result<String, Aborted> {
    let shown =
        if suggestion.is_empty() { format!("{text}:") } else { format!("{text} [{suggestion}]:") };
    let answer = console.ask(&shown)?.ok_or(Aborted::EndOfInput)?;
    Ok(if answer.is_empty() { suggestion.to_owned() } else { answer })
}

fn yes(console: &mut dyn Console, text: &str, default: bool) -> Result<bool, Aborted> {
    let hint = if default { "Y/n" } else { "y/N" };
    let answer = console.ask(&format!("{text} [{hint}]"))?.ok_or(Aborted::EndOfInput)?;
    Ok(match answer.to_ascii_lowercase().as_str() {
        "" => default,
        answer => answer.starts_with('y'),
    })
}

fn new_password(console: &mut dyn Console) -> Result<Password, Aborted> {
    loop {
        let first =
            console.ask_secret("Password (at least 10 characters):")?.ok_or(Aborted::EndOfInput)?;
        let password = Password::new(first);
        if let Some(problem) = password.problem() {
            console.say(&format!("  {problem}"))?;
            continue;
        }
        let again = console.ask_secret("The same again:")?.ok_or(Aborted::EndOfInput)?;
        if again == password.expose() {
            return Ok(password);
        }
        console.say("  the two differ")?;
    }
}

fn directory(console: &mut dyn Console) -> Result<DirectoryAnswers, Aborted> {
    let domain = question(console, "Directory domain, such as ad.example.test", "")?;
    let controllers =
        question(console, "Controllers, separated by commas (empty: found by DNS)", "")?;
    let ca_file =
        question(console, "File with the directory's CA in PEM (empty: the system's)", "")?;
    let ca = if ca_file.is_empty() { String::new() } else { std::fs::read_to_string(&ca_file)? };
    let bind_name = question(console, "Account that may read the directory", "")?;
    let secret = console.ask_secret("Its password:")?.ok_or(Aborted::EndOfInput)?;
    Ok(DirectoryAnswers {
        domain,
        controllers: controllers
            .split(',')
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .map(str::to_owned)
            .collect(),
        tls: Tls::Ldaps,
        ca,
        bind_name,
        bind_password: Password::new(secret),
        ..DirectoryAnswers::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Script {
        answers: VecDeque<&'static str>,
        shown: String,
    }

    impl Console for Script {
        fn say(&mut self, line: &str) -> io::Result<()> {
            self.shown += line;
            self.shown += "\n";
            Ok(())
        }

        fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
            self.say(question)?;
            Ok(self.answers.pop_front().map(str::to_owned))
        }

        fn ask_secret(&mut self, question: &str) -> io::Result<Option<String>> {
            self.ask(question)
        }
    }

    fn run(answers: &[&'static str]) -> (Result<Answers, Aborted>, String) {
        let mut script =
            Script { answers: answers.iter().copied().collect(), shown: String::new() };
        (ask(&mut script, "mail.example.test"), script.shown)
    }

    #[test]
    fn return_takes_the_suggestions_and_wrong_answers_are_asked_again() {
        let (answers, shown) = run(&[
            "2",
            "1",
            "nodots",
            "",
            "",
            "Admin Istrator",
            "boss",
            "The Boss",
            "short",
            "long-enough-1",
            "other",
            "long-enough-1",
            "long-enough-1",
            "",
            "",
        ]);
        let answers = answers.unwrap();
        assert_eq!(answers.host, "mail.example.test");
        assert_eq!(answers.domain, "example.test");
        assert_eq!(answers.administrator.name, "boss");
        assert!(answers.problems().is_empty());
        assert!(shown.contains("the two differ"), "{shown}");
        assert!(!shown.contains("long-enough-1"), "{shown}");
    }

    #[test]
    fn the_end_of_input_and_a_no_at_the_end_abort() {
        for answers in
            [&["1", "", ""][..], &["1", "", "", "", "", "long-enough-1", "long-enough-1", "", "n"]]
        {
            assert!(matches!(run(answers).0, Err(Aborted::EndOfInput)), "{answers:?}");
        }
    }
}
