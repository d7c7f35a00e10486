"""Changes accounts of a running lab, on the controller itself: a JSON list of operations on stdin, see OPERATIONS below.

    echo '[{"op": "disable", "name": "bob"}]' | LAB=... lab-exec dc1 ad-admin

All operations of one call are one transaction. Accounts are named by sAMAccountName.
"""

import base64
import json
import sys

import ldb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.param import LoadParm
from samba.samdb import SamDB

lp = LoadParm()
lp.load("/etc/samba/smb.conf")
creds = Credentials()
creds.guess(lp)
sam = SamDB(url="/var/lib/samba/private/sam.ldb", session_info=system_session(), credentials=creds, lp=lp, options=["batch_mode:1"])
base = sam.domain_dn()


def dn_of(name):
    if "=" in name:
        return name
    found = sam.search(base=base, expression=f"(|(sAMAccountName={ldb.binary_encode(name)})(&(objectClass=contact)(cn={ldb.binary_encode(name)})))", attrs=["1.1"])
    if len(found) != 1:
        raise SystemExit(f"{len(found)} accounts are named {name}")
    return str(found[0].dn)


def value(v):
    """A value is text, a list of texts, or {"base64": …} for bytes."""
    if isinstance(v, dict):
        return base64.b64decode(v["base64"])
    if isinstance(v, list):
        return [value(x) for x in v]
    return v


def add_user(name, ou="OU=People", cn=None, password=None, attributes=None):
    entry = {
        "dn": f"CN={cn or name},{ou},{base}",
        "objectClass": "user",
        "sAMAccountName": name,
        "userPrincipalName": f"{name}@ad.example.test",
        "userAccountControl": "512" if password else "544",
    }
    if password:
        entry["clearTextPassword"] = password.encode("utf-16-le")
    entry.update({k: value(v) for k, v in (attributes or {}).items()})
    sam.add(entry)


def add_contact(name, ou="OU=People", attributes=None):
    sam.add({"dn": f"CN={name},{ou},{base}", "objectClass": "contact", **{k: value(v) for k, v in (attributes or {}).items()}})


def add_group(name, members=(), ou="OU=Groups", attributes=None):
    entry = {"dn": f"CN={name},{ou},{base}", "objectClass": "group", "sAMAccountName": name, "groupType": "-2147483646"}
    if members:
        entry["member"] = [dn_of(m) for m in members]
    entry.update({k: value(v) for k, v in (attributes or {}).items()})
    sam.add(entry)


def add_many(prefix, count, ou="OU=Bulk", group=None, mail_domain=None):
    """Makes prefix0001 … and makes them members of a group."""
    names = [f"{prefix}{i:04}" for i in range(1, count + 1)]
    for name in names:
        add_user(name, ou=ou, attributes={"mail": f"{name}@{mail_domain}"} if mail_domain else None)
    if group:
        change_members(group, [f"CN={n},{ou},{base}" for n in names], ldb.FLAG_MOD_ADD)


def change_members(group, members, flag):
    message = ldb.Message(ldb.Dn(sam, dn_of(group)))
    message["member"] = ldb.MessageElement([dn_of(m) for m in members], flag, "member")
    sam.modify(message)


def modify(name, attributes):
    message = ldb.Message(ldb.Dn(sam, dn_of(name)))
    for key, v in attributes.items():
        message[key] = ldb.MessageElement(value(v) if v is not None else [], ldb.FLAG_MOD_REPLACE, key)
    sam.modify(message)


def rename(name, new_name, new_cn=None):
    """A person's new name: account, UPN and common name."""
    old = ldb.Dn(sam, dn_of(name))
    modify(str(old), {"sAMAccountName": new_name, "userPrincipalName": f"{new_name}@ad.example.test"})
    sam.rename(old, ldb.Dn(sam, f"CN={new_cn or new_name},{old.parent()}"))


def move(name, ou):
    old = ldb.Dn(sam, dn_of(name))
    sam.rename(old, ldb.Dn(sam, f"{old.get_rdn_name()}={old.get_rdn_value()},{ou},{base}"))


def set_password(name, password, must_change=False):
    sam.setpassword(f"(sAMAccountName={ldb.binary_encode(name)})", password, force_change_at_next_login=must_change)


def add_ou(name):
    sam.add({"dn": f"OU={name},{base}", "objectClass": "organizationalUnit"})


OPERATIONS = {
    "add_user": add_user,
    "add_contact": add_contact,
    "add_group": add_group,
    "add_many": add_many,
    "add_members": lambda group, members: change_members(group, members, ldb.FLAG_MOD_ADD),
    "remove_members": lambda group, members: change_members(group, members, ldb.FLAG_MOD_DELETE),
    "modify": modify,
    "rename": rename,
    "move": move,
    "disable": lambda name: sam.disable_account(f"(sAMAccountName={ldb.binary_encode(name)})"),
    "enable": lambda name: sam.enable_account(f"(sAMAccountName={ldb.binary_encode(name)})"),
    "delete": lambda name: sam.delete(dn_of(name)),
    "set_password": set_password,
    "add_ou": add_ou,
}

sam.transaction_start()
try:
    for operation in json.load(sys.stdin):
        OPERATIONS[operation.pop("op")](**operation)
except BaseException:
    sam.transaction_cancel()
    raise
sam.transaction_commit()
