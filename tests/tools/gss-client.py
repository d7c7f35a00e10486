"""A Kerberos client that speaks tokens on stdin and stdout: one base64 token a line, `.` for an empty one.

    gss-client.py krb5|spnego SERVICE@HOST [--bindings HEX] [--sasl AUTHZID] [--mutual]

--sasl goes on with the security layer round of RFC 4752, as AUTHZID (may be empty). Ends when there is nothing more to say.
"""

import argparse
import base64
import sys

import gssapi
from gssapi.raw import ChannelBindings

parser = argparse.ArgumentParser()
parser.add_argument("mechanism", choices=["krb5", "spnego"])
parser.add_argument("service")
parser.add_argument("--bindings")
parser.add_argument("--sasl")
parser.add_argument("--mutual", action="store_true")
arguments = parser.parse_args()


def say(token):
    print(base64.b64encode(token).decode() or ".", flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return base64.b64decode(line.strip().strip("."))


krb5 = gssapi.MechType.kerberos
spnego = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
bindings = None
if arguments.bindings:
    data = b"tls-server-end-point:" + bytes.fromhex(arguments.bindings)
    bindings = ChannelBindings(application_data=data)
flags = gssapi.RequirementFlag.integrity
if arguments.mutual or arguments.sasl is not None:
    flags |= gssapi.RequirementFlag.mutual_authentication
context = gssapi.SecurityContext(
    name=gssapi.Name(arguments.service, gssapi.NameType.hostbased_service),
    mech=krb5 if arguments.mechanism == "krb5" else spnego,
    flags=flags,
    channel_bindings=bindings,
    usage="initiate",
)
token = context.step()
while True:
    say(token or b"")
    if context.complete:
        break
    token = context.step(hear())
    if context.complete and not token:
        if arguments.sasl is not None:
            say(b"")
        break
if arguments.sasl is not None:
    offer = context.unwrap(hear()).message
    assert offer[0] & 1, offer
    say(context.wrap(b"\1\0\0\0" + arguments.sasl.encode(), False).message)
