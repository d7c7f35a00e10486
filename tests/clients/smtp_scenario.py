"""Python's smtplib and imaplib against a node: submission with sign-on, refusals, and what is in a mailbox."""

import argparse
import imaplib
import smtplib
import ssl
from email.message import EmailMessage

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["submit", "count", "last", "subjects"])
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--ca", required=True)
parser.add_argument("--host", default="mail.example.test")
parser.add_argument("--user", default="anna")
parser.add_argument("--password", required=True)
options = parser.parse_args()


def context():
    made = ssl.create_default_context(cafile=options.ca)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # the node listens on a loopback address; its certificate is checked against the CA all the same
    made.check_hostname = False
    return made


def message(sender, to, subject):
    made = EmailMessage()
    made["From"] = f"Anna Example <{sender}>"
    made["To"] = to
    made["Subject"] = subject
    made.set_content("Grüße\n.\n..\nFrom here\n")
    return made


def refused(call, *codes):
    try:
        call()
    except smtplib.SMTPResponseException as error:
        assert error.smtp_code in codes, error
    except smtplib.SMTPRecipientsRefused as error:
        assert {code for code, _ in error.recipients.values()} <= set(codes), error
    else:
        raise AssertionError("not refused")


def submit():
    client = smtplib.SMTP("127.0.0.1", options.port, timeout=20)
    client.ehlo("laptop.example.test")
    assert not client.has_extn("auth"), "passwords only under TLS"
    refused(lambda: client.login(options.user, options.password) if client.has_extn("auth")
            else client.sendmail("anna@example.test", ["bob@example.test"], "x"), 530)
    client.starttls(context=context())
    client.ehlo("laptop.example.test")
    for wanted in ["size", "8bitmime", "smtputf8", "pipelining", "chunking", "enhancedstatuscodes", "dsn"]:
        assert client.has_extn(wanted), wanted
    assert not client.has_extn("starttls") and not client.has_extn("binarymime")
    refused(lambda: client.login(options.user, "wrong password"), 535)
    client.login(options.user, options.password)
    client.send_message(message("anna@example.test", "bob@example.test, info-desk@example.test", "smtplib"))
    refused(lambda: client.sendmail("bob@example.test", ["anna@example.test"], "x"), 553)
    refused(lambda: client.send_message(message("bob@example.test", "chen@example.test", "forged"),
                                        from_addr="anna@example.test"), 550)
    refused(lambda: client.sendmail("anna@example.test", ["nobody@example.test"], "x"), 550)
    utf8 = message("anna@example.test", "bob@example.test", "Grüße")
    client.send_message(utf8, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    client.quit()


def inbox():
    client = imaplib.IMAP4_SSL("127.0.0.1", options.port, ssl_context=context())
    client.login(options.user, options.password)
    status, count = client.select("INBOX", readonly=True)
    assert status == "OK", status
    return client, int(count[0])


if options.what == "submit":
    submit()
elif options.what == "count":
    print(inbox()[1])
elif options.what == "subjects":
    session, number = inbox()
    if number:
        for part in session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]:
            if isinstance(part, tuple):
                print(part[1].decode().removeprefix("Subject: ").strip())
else:
    session, number = inbox()
    if number:
        print(session.fetch(str(number), "(BODY.PEEK[])")[1][0][1].decode("utf-8", "replace"))
