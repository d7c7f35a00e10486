//! Command lines of SMTP: see [`posthouse_smtp::codec::fuzz_command`].
#![no_main]

const SEEDS: &[&str] = &[
    "EHLO [IPv6:2001:db8::1]",
    "MAIL FROM:<\"a b\"@x.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb",
    "MAIL FROM:<>",
    "RCPT TO:<a@[192.0.2.1]> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+40b.test",
    "RCPT TO:<jürgen@bücher.test>",
    "RCPT TO:<@r.test:Postmaster>",
    "BDAT 100 LAST",
    "AUTH PLAIN AGEAYg==",
    "VRFY <a@x.test>",
];

libfuzzer_sys::fuzz_target!(init: posthouse_fuzz::seed(SEEDS), |data: &[u8]| {
    posthouse_smtp::codec::fuzz_command(data)
});
