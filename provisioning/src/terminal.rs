//! Set-up in a terminal: questions, one a line, that work over a serial line too.

use std::io::{self, BufRead, Write};

use crate::{
    Answers, Check, CheckOutcome, DirectoryAnswers, Password, Tls, UserAnswers, check_code,
};

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
    match choose_door(console)? {
        Door::NewDomain => ask_domain(console, suggested_host),
        Door::Join => ask_join(console, suggested_host),
    }
}

fn ask_domain(console: &mut dyn Console, suggested_host: &str) -> Result<Answers, Aborted> {
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

fn ask_join(console: &mut dyn Console, suggested_host: &str) -> Result<Answers, Aborted> {
    console.say(
        "On a node of the cluster, `posthouse cluster invite` prints the code; it works once.",
    )?;
    let (code, addresses) = loop {
        let code = question(console, "Code", "")?;
        match check_code(&code) {
            Ok(addresses) => break (code, addresses),
            Err(problem) => console.say(&format!("  {problem}"))?,
        }
    };
    let host = field(console, "Host name of this node", suggested_host, "host", |a, v| a.host = v)?;
    let site = question(console, "Site (empty: that of the node that answers)", "")?;
    let links = links(console)?;
    let site_shown = if site.is_empty() { "as the node that answers" } else { &site };
    let links_shown = if links.is_empty() { "found out".to_owned() } else { links.join(", ") };
    console.say("")?;
    console.say(&format!("Joins through  {}", addresses.join(", ")))?;
    console.say(&format!("Host name      {host}"))?;
    console.say(&format!("Site           {site_shown}"))?;
    console.say(&format!("Addresses      {links_shown}"))?;
    let join = Some(Password::new(code));
    let answers = Answers { join, host, site, links, ..Answers::default() };
    if yes(console, "Join like this?", true)? { Ok(answers) } else { Err(Aborted::EndOfInput) }
}

fn links(console: &mut dyn Console) -> Result<Vec<String>, Aborted> {
    loop {
        let text = "Addresses (host:port) where other nodes reach this one (empty: found out)";
        let links = listed(&question(console, text, "")?);
        // any code is wrong here: only the addresses are looked at
        let probe =
            Answers { join: Some(Password::default()), links: links.clone(), ..Answers::default() };
        match probe.problems().into_iter().find(|problem| problem.field.starts_with("links")) {
            Some(problem) => console.say(&format!("  {}", problem.message))?,
            None => return Ok(links),
        }
    }
}

/// What is separated by commas.
fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
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

enum Door {
    NewDomain,
    Join,
}

fn choose_door(console: &mut dyn Console) -> Result<Door, Aborted> {
    console.say("  1  New domain")?;
    console.say("  2  Join a cluster")?;
    console.say("  3  Restore a backup (comes later)")?;
    loop {
        match question(console, "What shall this node be?", "1")?.as_str() {
            "1" => return Ok(Door::NewDomain),
            "2" => return Ok(Door::Join),
            _ => console.say("  1 or 2; a backup cannot be restored in this version")?,
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
        controllers: listed(&controllers),
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
            "3",
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
    fn joining_asks_for_the_code_until_it_is_one() {
        let code = crate::answers::example_code();
        let altered = code.replacen('0', "1", 1);
        let (code, altered): (&'static str, &'static str) = (code.leak(), altered.leak());
        let lines = [
            "2",
            altered,
            "hello",
            code,
            "nodots",
            "n2.example.test",
            "",
            "10.1.0.2",
            "10.1.0.2:4041, [fd00::2]:4041",
            "",
        ];
        let (answers, shown) = run(&lines);
        let answers = answers.unwrap();
        assert_eq!(answers.problems(), []);
        assert_eq!(answers.host, "n2.example.test");
        assert_eq!(answers.links, ["10.1.0.2:4041", "[fd00::2]:4041"]);
        assert_eq!(answers.join.unwrap().expose(), code);
        assert!(shown.contains("Joins through  192.0.2.1:4041"), "{shown}");
        assert!(!shown.contains("Mail domain"), "{shown}");
        let again = shown.lines().filter(|line| line.starts_with("Code")).count();
        assert_eq!(again, 3, "{shown}");
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
