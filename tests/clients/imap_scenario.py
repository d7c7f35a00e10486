"""A day of a mail client over imaplib: HOST PORT USER PASSWORD CA. Prints `ok` at the end."""

import imaplib
import ssl
import sys
import threading
import time

host, port, user, password, ca = sys.argv[1:6]
context = ssl.create_default_context(cafile=ca)


def connect():
    context.check_hostname = False  # the name is the node's, the address is loopback
    client = imaplib.IMAP4_SSL(host, int(port), ssl_context=context)
    client.login(user, password)
    return client


def good(answer):
    kind, data = answer
    assert kind == "OK", (kind, data)
    return data


a, b = connect(), connect()
assert a.state == "AUTH"
for folder in ["Projects", "Projects/2026", "Entw&APw-rfe"]:
    good(a.create(folder))
    good(a.subscribe(folder))
listed = b"\n".join(good(a.list()))
for name in [b"INBOX", b"Projects/2026", b"Entw&APw-rfe", b"\\Sent", b"\\Drafts"]:
    assert name in listed, listed
assert len(good(a.lsub())) >= 3

messages = []
for n in range(50):
    body = f"body {n} äöü\r\n" * (n + 1)
    text = (
        f"From: Anna <anna@example.test>\r\nTo: bob@example.test\r\nSubject: number {n}\r\n"
        f"Date: Tue, 24 Nov 2026 10:{n:02}:00 +0000\r\nMessage-ID: <{n}@example.test>\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"
    ).encode()
    when = f'"24-Nov-2026 10:{n:02}:00 +0000"'
    answer = good(a.append("Projects", r"(\Seen)" if n % 2 else None, when, text))
    assert b"APPENDUID" in answer[0], answer
    messages.append(text)

assert good(a.select("Projects")) == [b"50"]
assert good(b.select("Projects")) == [b"50"]
for n in [0, 7, 49]:
    (head, text), tail = good(a.fetch(str(n + 1), "(UID INTERNALDATE RFC822.SIZE BODY.PEEK[])"))
    assert text == messages[n] and f"RFC822.SIZE {len(text)}".encode() in head, head
    assert f'"24-Nov-2026 10:{n:02}:00 +0000"'.encode() in head, head
assert good(a.search(None, "UNSEEN"))[0].split() == [str(n).encode() for n in range(1, 51, 2)]
assert good(a.search("UTF-8", "SUBJECT", '"number 4"'))[0].split()[0] == b"5"
a.literal = "öü".encode()
assert len(good(a.search("UTF-8", "BODY"))[0].split()) == 50
assert good(a.uid("SEARCH", "SINCE", "1-Nov-2026", "LARGER", "600"))[0]

good(a.store("1:3", "+FLAGS", r"(\Flagged $Later)"))
flags = [imaplib.ParseFlags(line) for line in good(b.fetch("1:4", "(FLAGS)"))]
assert [(b"\\Flagged" in f, b"$Later" in f) for f in flags] == [(True, True)] * 3 + [(False, False)]
good(a.copy("1:10", "Projects/2026"))
good(a.uid("MOVE", "11:12", "Trash"))
good(a.store("1,48", "+FLAGS.SILENT", r"(\Deleted)"))
assert good(a.expunge())[-2:] == [b"48", b"1"]
good(b.noop())
assert b.response("EXPUNGE")[1] == [b"50", b"12", b"11", b"1"]
assert len(good(b.search(None, "ALL"))[0].split()) == 46
status = good(a.status('"Projects/2026"', "(MESSAGES UIDNEXT UNSEEN)"))[0]
assert b"MESSAGES 10" in status and b"UIDNEXT 11" in status, status

# IDLE wakes when another session appends
good(b.select("INBOX"))
b.send(b"x1 IDLE\r\n")
assert b.readline().startswith(b"+")
seen = []


def wait_for_exists():
    seen.append((b.readline(), time.monotonic()))


waiter = threading.Thread(target=wait_for_exists)
waiter.start()
time.sleep(0.05)
good(a.append("INBOX", None, None, messages[0]))
done = time.monotonic()
waiter.join(10)
assert seen and seen[0][0].endswith(b"EXISTS\r\n"), seen
print(f"IDLE woke {1000 * (seen[0][1] - done):.1f} ms after the APPEND was answered")
b.send(b"DONE\r\n")
assert b.readline().startswith(b"x1 OK")

good(a.rename("Projects/2026", "Old"))
good(a.close())
good(a.delete("Projects"))
try:
    a.select("Projects")
    assert a.state != "SELECTED"
finally:
    a.logout()
    b.logout()

try:
    wrong = imaplib.IMAP4_SSL(host, int(port), ssl_context=context)
    wrong.login(user, "wrong")
    raise SystemExit("a wrong password was taken")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
print("ok")
