use super::*;

fn good() -> Answers {
    Answers {
        host: "mail.example.test".into(),
        domain: "example.test".into(),
        site: "main".into(),
        administrator: UserAnswers { name: "admin".into(), ..UserAnswers::default() },
        ..Answers::default()
    }
}

#[test]
fn each_wrong_answer_is_named() {
    type Spoil = fn(&mut Answers);
    let cases: &[(&str, Spoil)] = &[
        ("host", |a| a.host = "mail".into()),
        ("host", |a| a.host = "-a.example.test".into()),
        ("domain", |a| a.domain = "exa mple.test".into()),
        ("site", |a| a.site = " ".into()),
        ("site", |a| a.site = "x".repeat(65)),
        ("links", |a| a.links = vec!["10.1.0.2:4041".into()]),
        ("administrator.name", |a| a.administrator.name = "Admin".into()),
        ("administrator.password", |a| a.administrator.password = Some(Password::new("short"))),
        ("users[0].name", |a| a.users.push(UserAnswers::default())),
        ("groups[0].name", |a| a.groups.push(GroupAnswers::default())),
        ("directory.domain", |a| {
            a.directory = Some(DirectoryAnswers {
                bind_name: "reader".into(),
                bind_password: Password::new("x"),
                ..DirectoryAnswers::default()
            });
        }),
    ];
    assert_eq!(good().problems(), []);
    for (field, spoil) in cases {
        let mut answers = good();
        spoil(&mut answers);
        let fields: Vec<_> = answers.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, [*field]);
    }
}

#[test]
fn a_broken_answers_file_is_refused_without_quoting_a_password() {
    let text = "host = 'mail.example.test'\ndomain = 'example.test'\n[administrator]\nname = 'admin'\npassword = canary";
    let error = Answers::from_toml(text).unwrap_err().to_string();
    assert!(error.contains("line 5"), "{error}");
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let text = "host = 'mail.example.test'\ndomain = 'example.test'\npasword = 'x'\n[administrator]\nname = 'admin'";
    let error = Answers::from_toml(text).unwrap_err().to_string();
    assert!(error.contains("pasword"), "{error}");
}

fn joining() -> Answers {
    Answers {
        join: Some(Password::new(example_code())),
        host: "n2.example.test".into(),
        ..Answers::default()
    }
}

#[test]
fn each_wrong_answer_for_joining_is_named() {
    type Spoil = fn(&mut Answers);
    let cases: &[(&str, Spoil)] = &[
        ("join", |a| a.join = Some(Password::new(""))),
        ("join", |a| a.join = Some(Password::new(example_code().replacen('0', "1", 1)))),
        ("join", |a| a.join = Some(Password::new(&example_code()[7..]))),
        ("host", |a| a.host = "n2".into()),
        ("site", |a| a.site = "a\nb".into()),
        ("links[1]", |a| a.links = vec!["n2.example.test:4041".into(), "n2.example.test".into()]),
        ("links[0]", |a| a.links = vec!["fd00::2:4041".into()]),
        ("links[0]", |a| a.links = vec!["10.1.0.2:0".into()]),
        ("domain", |a| a.domain = "example.test".into()),
        ("administrator", |a| a.administrator.name = "admin".into()),
        ("users", |a| a.users.push(UserAnswers::default())),
    ];
    assert_eq!(joining().problems(), []);
    for (field, spoil) in cases {
        let mut answers = joining();
        spoil(&mut answers);
        let fields: Vec<_> = answers.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, [*field]);
    }
}

#[test]
fn an_answers_file_that_joins_needs_a_code_and_a_host_and_nothing_else() {
    let code = example_code();
    let text = format!(
        "host = 'n2.example.test'\njoin = '{code}'\nsite = 'hamburg'\nlinks = ['10.1.0.2:4041']"
    );
    let answers = Answers::from_toml(&text).unwrap();
    assert_eq!(answers.problems(), []);
    assert_eq!(answers.site, "hamburg");
    assert!(!format!("{answers:?}").contains(&code), "the code is a secret");
    let empty = Answers::from_toml("host = 'mail.example.test'").unwrap();
    let fields: Vec<_> = empty.problems().into_iter().map(|p| p.field).collect();
    assert_eq!(fields, ["domain", "administrator.name"]);
    assert_eq!(empty.site(), "main");
}
