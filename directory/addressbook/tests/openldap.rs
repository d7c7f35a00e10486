//! The command line clients of OpenLDAP (Debian: ldap-utils).
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Output;

use support::{Book, PASSWORD};
use tokio::process::Command;

async fn ldapsearch(book: &Book, url: &str, arguments: &[&str]) -> Output {
    let ca = book.folder.path().join("ca.pem");
    std::fs::write(&ca, &book.ca).unwrap();
    let mut command = Command::new("ldapsearch");
    command.env("LDAPTLS_CACERT", ca).env("LDAPRC", "none").args([
        "-LLL",
        "-o",
        "ldif-wrap=no",
        "-H",
        url,
    ]);
    command.args(arguments).kill_on_drop(true);
    command.output().await.expect("ldapsearch starts: install ldap-utils")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ldapsearch_finds_a_colleague_by_every_way_to_sign_on() {
    let book = Book::open().await;
    // by address: libldap takes `localhost` for the name of the machine
    let ldap = format!("ldap://127.0.0.1:{}", book.plain.port());
    let ldaps = format!("ldaps://127.0.0.1:{}", book.tls.port());
    let simple = ["-x", "-D", "anna@example.test", "-w", PASSWORD];
    let plain = ["-Y", "PLAIN", "-U", "anna@example.test", "-w", PASSWORD, "-Q"];
    for (what, url, options, code) in [
        ("simple, LDAPS", &ldaps, simple.to_vec(), 0),
        ("simple, StartTLS", &ldap, [&["-ZZ"][..], &simple].concat(), 0),
        ("simple in the clear", &ldap, simple.to_vec(), 13),
        ("PLAIN, LDAPS", &ldaps, plain.to_vec(), 0),
        ("wrong password", &ldaps, vec!["-x", "-D", "anna", "-w", "wrong"], 49),
        ("paged", &ldaps, [&["-E", "pr=1/noprompt"][..], &simple].concat(), 0),
        ("sorted", &ldaps, [&["-E", "sss=sn"][..], &simple].concat(), 0),
        ("unknown critical control", &ldaps, [&["-E", "!1.2.3.4"][..], &simple].concat(), 12),
        ("anonymous", &ldaps, vec!["-x"], 48),
    ] {
        let arguments = [&options[..], &["-b", "", "(mail=*mueller*)", "cn", "mail"]].concat();
        let output = ldapsearch(&book, url, &arguments).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{what}: {text}{errors}");
        assert_eq!(
            text.contains("mail: a.mueller@example.test"),
            code == 0,
            "{what}: {text}{errors}"
        );
    }
}
