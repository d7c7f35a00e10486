//! The text of codes.

use crate::join::{CodeError, InviteCode};

fn code() -> InviteCode {
    let addresses = ["192.0.2.7:4041", "[2001:db8::7]:4041", "node-1.example.com:4041"];
    let addresses = addresses.map(str::to_owned).to_vec();
    InviteCode::new(addresses, &[0xA5; 32], [7; 16], [0x3C; 16])
}

#[test]
fn a_code_is_read_back_however_it_was_typed() {
    let text = code().to_string();
    let typed = [
        text.clone(),
        text.to_lowercase(),
        text.replace('-', " "),
        text.replace('-', ""),
        format!("\n  {}\n", text.replace('-', "\n")),
        text.replace('0', "O").replace('1', "l"),
    ];
    for typed in typed {
        assert_eq!(typed.parse(), Ok(code()), "{typed}");
    }
    assert!(text.len() < 260, "{} is too much to type", text.len());
    let one = InviteCode::new(vec!["192.0.2.7:4041".into()], &[1; 32], [2; 16], [3; 16]);
    assert!(one.to_string().len() < 150, "{one}");
}

#[test]
fn a_code_never_shows_its_secret_in_logs() {
    let shown = format!("{:?}", code());
    assert_eq!(shown, format!("InviteCode for {:?}", code().addresses));
}

#[test]
fn every_altered_character_is_noticed_and_its_group_named() {
    let text = code().to_string();
    for (at, original) in text.char_indices().filter(|(_, c)| *c != '-') {
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|c| *c != original) {
            let mut altered = text.clone();
            altered.replace_range(at..=at, &other.to_string());
            assert_eq!(
                altered.parse::<InviteCode>(),
                Err(CodeError::Group(at / 7 + 1)),
                "{altered}"
            );
        }
    }
}

#[test]
fn swapped_missing_and_foreign_parts_are_noticed() {
    let text = code().to_string();
    let bytes = text.as_bytes();
    for at in 0..bytes.len() - 1 {
        let mut swapped = bytes.to_vec();
        swapped.swap(at, at + 1);
        let swapped = String::from_utf8(swapped).unwrap();
        if swapped.replace('-', "") != text.replace('-', "") {
            assert!(swapped.parse::<InviteCode>().is_err(), "{swapped}");
        }
    }
    let groups: Vec<&str> = text.split('-').collect();
    for at in 0..groups.len() {
        let mut fewer = groups.clone();
        fewer.remove(at);
        assert!(fewer.join("-").parse::<InviteCode>().is_err(), "{fewer:?}");
        let mut doubled = groups.clone();
        doubled.insert(at, groups[at]);
        assert!(doubled.join("-").parse::<InviteCode>().is_err(), "{doubled:?}");
    }
    let other = InviteCode::new(code().addresses, &[0xA5; 32], [8; 16], [0x3C; 16]).to_string();
    // cut where the two differ
    let mixed: Vec<&str> =
        groups.iter().copied().take(25).chain(other.split('-').skip(25)).collect();
    assert_eq!(mixed.join("-").parse::<InviteCode>(), Err(CodeError::Altered));
    for (nothing, error) in [
        ("", CodeError::NotACode),
        ("-- -", CodeError::NotACode),
        ("hello!", CodeError::Character('!', 1)),
        ("0", CodeError::Group(1)),
    ] {
        assert_eq!(nothing.parse::<InviteCode>(), Err(error), "{nothing:?}");
    }
    assert_eq!("0".repeat(5000).parse::<InviteCode>(), Err(CodeError::NotACode));
}

#[test]
fn what_the_directory_stores_verifies_the_secret_and_is_another_for_each_invite() {
    let (first, same) = (code(), code());
    assert_eq!(first.verifier(), same.verifier());
    assert!(first.verifier().proves(b"x", &same.prove(b"x")));
    assert!(!first.verifier().proves(b"y", &same.prove(b"x")));
    let other_secret = InviteCode::new(vec![], &[0xA5; 32], [7; 16], [0; 16]);
    let other_invite = InviteCode::new(vec![], &[0xA5; 32], [8; 16], [0x3C; 16]);
    for other in [other_secret, other_invite] {
        assert_ne!(first.verifier(), other.verifier());
        assert!(!first.verifier().proves(b"x", &other.prove(b"x")));
    }
}
