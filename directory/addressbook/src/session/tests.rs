use ldap3_proto::proto::{
    LdapAddRequest, LdapDerefAliases, LdapFilter, LdapModifyDNRequest, LdapModifyRequest,
    SaslCredentials,
};
use posthouse_directory::fresh_id;

use super::*;
use crate::tree::Fixed;

fn request(id: i32, operation: Operation, op: LdapOp) -> Request {
    Request { id, operation, op: Some(op), controls: Vec::new(), critical: Vec::new() }
}

fn bind(id: i32, name: &str, password: &str) -> Request {
    let cred = LdapBindCred::Simple(password.into());
    let bind = LdapBindRequest { version: 3, dn: name.into(), cred };
    request(id, Operation::Bind, LdapOp::BindRequest(bind))
}

fn sasl(id: i32, mechanism: &str, token: &[u8]) -> Request {
    let cred = LdapBindCred::SASL(SaslCredentials {
        mechanism: mechanism.into(),
        credentials: token.into(),
    });
    let bind = LdapBindRequest { version: 3, dn: String::new(), cred };
    request(id, Operation::Bind, LdapOp::BindRequest(bind))
}

fn searching(base: &str, scope: Scope) -> LdapSearchRequest {
    LdapSearchRequest {
        base: base.into(),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Present("objectClass".into()),
        attrs: Vec::new(),
    }
}

fn search(id: i32) -> Request {
    request(id, Operation::Search, LdapOp::SearchRequest(searching("", Scope::Subtree)))
}

fn extended(id: i32, name: &str) -> Request {
    let extended = LdapExtendedRequest { name: name.into(), value: None };
    request(id, Operation::Extended, LdapOp::ExtendedRequest(extended))
}

fn who() -> Bound {
    Bound { account: AccountId(fresh_id()), identity: "u:anna@example.test".into() }
}

fn signed_on() -> Session {
    let mut session = Session::new(true);
    session.on_request(bind(1, "anna", "x"), true);
    session.on_bind(1, BindStep::Done(who(), None));
    session
}

fn ended(id: i32, rest: usize) -> Ended {
    let entry = Entry::Fixed(Arc::new(Fixed { dn: "cn=x".into(), attributes: Vec::new() }));
    let rest = Some(Rest(Arc::new(vec![entry; rest])));
    Ended { id, code: Code::Success, message: String::new(), rest, sorted: None }
}

/// Result code of the last response, or what is to be done, as a word.
fn outcome(actions: &[Action]) -> String {
    match actions.last() {
        None => "nothing".into(),
        Some(Action::Send(message)) => {
            let result = match &message.op {
                LdapOp::BindResponse(r) => &r.res,
                LdapOp::ExtendedResponse(r) => &r.res,
                LdapOp::SearchResultDone(r)
                | LdapOp::ModifyResponse(r)
                | LdapOp::AddResponse(r)
                | LdapOp::DelResponse(r)
                | LdapOp::ModifyDNResponse(r)
                | LdapOp::CompareResult(r) => r,
                other => panic!("{other:?}"),
            };
            format!("{:?}", result.code)
        }
        Some(Action::StartTls) => "tls".into(),
        Some(Action::Password { .. }) => "password".into(),
        Some(Action::Sasl { mechanism, .. }) if mechanism.is_some() => "sasl starts".into(),
        Some(Action::Sasl { .. }) => "sasl goes on".into(),
        Some(Action::Search(job)) if job.resume.is_some() => "page".into(),
        Some(Action::Search(_)) => "search".into(),
        Some(Action::Compare { .. }) => "compare".into(),
        Some(Action::Stop(_)) => "stop".into(),
        Some(Action::Close) => "close".into(),
    }
}

#[test]
fn what_a_stranger_may_do() {
    let root = LdapOp::SearchRequest(searching("", Scope::Base));
    let compare = LdapCompareRequest { dn: "cn=x".into(), atype: "cn".into(), val: Vec::new() };
    for (what, tls, request, want) in [
        ("root", false, request(1, Operation::Search, root), "search"),
        ("search", true, search(1), "InsufficentAccessRights"),
        (
            "schema",
            true,
            request(
                1,
                Operation::Search,
                LdapOp::SearchRequest(searching("cn=schema", Scope::Base)),
            ),
            "InsufficentAccessRights",
        ),
        (
            "compare",
            true,
            request(1, Operation::Compare, LdapOp::CompareRequest(compare)),
            "InsufficentAccessRights",
        ),
        ("password in the clear", false, bind(1, "anna", "x"), "ConfidentialityRequired"),
        ("password", true, bind(1, "anna", "x"), "password"),
        ("anonymous", true, bind(1, "", ""), "InappropriateAuthentication"),
        ("a password without a name", true, bind(1, "", "x"), "InappropriateAuthentication"),
        ("a name without a password", true, bind(1, "anna", ""), "UnwillingToPerform"),
        ("long name", true, bind(1, &"a".repeat(2_000), "x"), "InvalidDNSyntax"),
        ("sasl", false, sasl(1, "GSSAPI", b""), "sasl starts"),
        ("no mechanism", false, sasl(1, "", b""), "AuthMethodNotSupported"),
        ("StartTLS", false, extended(1, START_TLS), "tls"),
        ("StartTLS twice", true, extended(1, START_TLS), "OperationsError"),
        ("who am I", true, extended(1, OID_WHOAMI), "Success"),
        ("unknown extension", true, extended(1, "1.2.3"), "ProtocolError"),
        ("unbind", true, request(1, Operation::Unbind, LdapOp::UnbindRequest), "close"),
        ("abandon", true, request(1, Operation::Abandon, LdapOp::AbandonRequest(9)), "nothing"),
    ] {
        let actions = Session::new(tls).on_request(request, true);
        assert_eq!(outcome(&actions), want, "{what}");
    }
}

#[test]
fn only_version_3_is_spoken() {
    for version in [-1, 2, 4] {
        let cred = LdapBindCred::Simple("x".into());
        let bind = LdapBindRequest { version, dn: "anna".into(), cred };
        let request = request(1, Operation::Bind, LdapOp::BindRequest(bind));
        assert_eq!(outcome(&Session::new(true).on_request(request, true)), "ProtocolError");
    }
}

#[test]
fn changes_are_refused_each_with_its_own_response() {
    for (operation, op) in [
        (Operation::Delete, LdapOp::DelRequest("cn=x".into())),
        (
            Operation::Add,
            LdapOp::AddRequest(LdapAddRequest { dn: "cn=x".into(), attributes: vec![] }),
        ),
        (
            Operation::Modify,
            LdapOp::ModifyRequest(LdapModifyRequest { dn: "cn=x".into(), changes: vec![] }),
        ),
        (
            Operation::ModifyDn,
            LdapOp::ModifyDNRequest(LdapModifyDNRequest {
                dn: "cn=x".into(),
                newrdn: "cn=y".into(),
                deleteoldrdn: true,
                new_superior: None,
            }),
        ),
    ] {
        let actions = signed_on().on_request(request(2, operation, op), true);
        assert_eq!(outcome(&actions), "UnwillingToPerform", "{operation:?}");
    }
}

#[test]
fn a_failed_bind_signs_off_and_several_close_the_connection() {
    let mut session = signed_on();
    for attempt in 1..=MAX_FAILURES {
        session.on_request(bind(2, "anna", "wrong"), true);
        assert!(session.bound().is_none(), "a bind that has begun signs off");
        let actions = session.on_bind(2, BindStep::Failed(Reason::WrongPassword));
        let want = if attempt == MAX_FAILURES { "close" } else { "InvalidCredentials" };
        assert_eq!(outcome(&actions), want, "{attempt}");
    }
    for (reason, tls, want) in [
        (Reason::UnknownUser, true, "InvalidCredentials"),
        (Reason::Disabled("x".into()), true, "InvalidCredentials"),
        (Reason::DirectoryDown("x".into()), true, "Unavailable"),
        (Reason::NotAvailable("PLAIN".into()), false, "ConfidentialityRequired"),
        (Reason::NotAvailable("NTLM".into()), true, "AuthMethodNotSupported"),
    ] {
        let actions = Session::new(tls).on_bind(1, BindStep::Failed(reason.clone()));
        assert_eq!(outcome(&actions), want, "{reason:?}");
    }
}

#[test]
fn sasl_goes_through_its_steps_and_nothing_comes_between() {
    let mut session = Session::new(false);
    assert_eq!(outcome(&session.on_request(sasl(1, "GSSAPI", b"a"), true)), "sasl starts");
    let actions = session.on_bind(1, BindStep::Challenge(b"c".to_vec()));
    assert_eq!(outcome(&actions), "SaslBindInProgress");
    assert_eq!(outcome(&session.on_request(extended(2, START_TLS), true)), "OperationsError");
    assert_eq!(outcome(&session.on_request(sasl(3, "GSSAPI", b"b"), true)), "sasl goes on");
    session.on_bind(3, BindStep::Challenge(b"c".to_vec()));
    assert_eq!(
        outcome(&session.on_request(sasl(4, "PLAIN", b"b"), true)),
        "sasl starts",
        "another one"
    );
    session.on_bind(4, BindStep::Done(who(), None));
    assert_eq!(outcome(&session.on_request(search(5), true)), "search");
}

#[test]
fn searches_are_counted_abandoned_and_ended_by_a_bind() {
    let mut session = signed_on();
    for id in 0..MAX_SEARCHES {
        assert_eq!(outcome(&session.on_request(search(10 + id as i32), true)), "search");
    }
    assert_eq!(outcome(&session.on_request(search(20), true)), "Busy");
    let abandon = |id| request(21, Operation::Abandon, LdapOp::AbandonRequest(id));
    assert_eq!(outcome(&session.on_request(abandon(10), true)), "stop");
    assert_eq!(outcome(&session.on_request(abandon(10), true)), "nothing");
    assert_eq!(
        outcome(&session.on_search(ended(10, 0), 1)),
        "nothing",
        "no answer after an abandon"
    );
    assert_eq!(outcome(&session.on_search(ended(11, 0), 1)), "Success");
    let stops = session.on_request(bind(22, "anna", "x"), true);
    assert_eq!(stops.iter().filter(|a| matches!(a, Action::Stop(_))).count(), MAX_SEARCHES - 2);
    assert_eq!(outcome(&stops), "password");
    let mut session = signed_on();
    session.on_request(search(5), true);
    assert_eq!(outcome(&session.on_request(search(5), true)), "close", "an id in use");
    let mut session = signed_on();
    session.on_request(search(5), true);
    assert_eq!(outcome(&session.on_request(extended(6, START_TLS), true)), "OperationsError");
}

#[test]
fn unknown_critical_controls_are_refused_and_others_passed_over() {
    for (critical, want) in [
        (&["1.2.3.4"][..], "UnavailableCriticalExtension"),
        (&[MANAGE_DSA_IT], "search"),
        (&[PAGED], "ProtocolError"), // marked, but it could not be read
        (&[], "search"),
    ] {
        let mut request = search(2);
        request.critical = critical.iter().map(|oid| (*oid).to_owned()).collect();
        assert_eq!(outcome(&signed_on().on_request(request, true)), want, "{critical:?}");
    }
    let mut request = extended(2, OID_WHOAMI);
    request.critical = vec![PAGED.into()];
    let actions = signed_on().on_request(request, true);
    assert_eq!(outcome(&actions), "UnavailableCriticalExtension", "only searches are paged");
}

fn page(id: i32, size: i64, cookie: &[u8]) -> Request {
    let mut request = search(id);
    request.controls = vec![LdapControl::SimplePagedResults { size, cookie: cookie.into() }];
    request
}

fn cookie(actions: &[Action]) -> Vec<u8> {
    let Some(Action::Send(message)) = actions.last() else { panic!("{actions:?}") };
    match message.ctrl.first() {
        Some(LdapControl::SimplePagedResults { cookie, .. }) => cookie.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cookie_is_good_once_for_the_same_search_on_the_same_connection() {
    let mut session = signed_on();
    session.on_request(page(2, 10, b""), true);
    let first = cookie(&session.on_search(ended(2, 5), 77));
    assert_eq!(first, 77u128.to_be_bytes());
    let mut other = signed_on();
    assert_eq!(outcome(&other.on_request(page(3, 10, &first), true)), "UnwillingToPerform");
    assert_eq!(outcome(&session.on_request(page(3, 10, b"guess"), true)), "UnwillingToPerform");
    assert_eq!(outcome(&session.on_request(page(4, 10, &first), true)), "page");
    assert_eq!(outcome(&session.on_request(page(5, 10, &first), true)), "UnwillingToPerform");
    assert!(cookie(&session.on_search(ended(4, 0), 78)).is_empty(), "the last page");

    session.on_request(page(6, 10, b""), true);
    let next = cookie(&session.on_search(ended(6, 5), 79));
    let mut changed = page(7, 10, &next);
    if let Some(LdapOp::SearchRequest(search)) = &mut changed.op {
        search.base = "cn=schema".into();
    }
    assert_eq!(outcome(&session.on_request(changed, true)), "UnwillingToPerform");

    session.on_request(page(8, 10, b""), true);
    let given_up = cookie(&session.on_search(ended(8, 5), 80));
    let done = session.on_request(page(9, 0, &given_up), true);
    assert_eq!((outcome(&done), cookie(&done)), ("Success".into(), Vec::new()));
}

#[test]
fn open_pages_are_bounded_and_end_with_the_sign_on() {
    let mut session = signed_on();
    let mut cookies = Vec::new();
    for n in 0..=MAX_OPEN_PAGES {
        session.on_request(page(10, 1, b""), true);
        cookies.push(cookie(&session.on_search(ended(10, 5), n as u128)));
    }
    assert_eq!(outcome(&session.on_request(page(20, 1, &cookies[0]), true)), "UnwillingToPerform");
    assert_eq!(outcome(&session.on_request(page(21, 1, &cookies[1]), true)), "page");
    session.on_request(bind(22, "bob", "x"), true);
    session.on_bind(22, BindStep::Done(who(), None));
    assert_eq!(outcome(&session.on_request(page(23, 1, &cookies[2]), true)), "UnwillingToPerform");
}

#[test]
fn tls_forgets_what_was_said_before() {
    let mut session = Session::new(false);
    session.on_request(sasl(1, "GSSAPI", b""), true);
    session.on_bind(1, BindStep::Done(who(), None));
    assert!(session.bound().is_some());
    session.on_tls();
    assert!(session.bound().is_none() && session.is_tls());
}

#[test]
fn who_may_no_longer_sign_on_is_cut_off() {
    let actions = signed_on().on_request(search(2), false);
    assert_eq!(outcome(&actions), "close");
    assert!(matches!(&actions[0], Action::Send(notice) if notice.msgid == 0));
}
