"""Accounts, groups, service principals and keytabs of the lab; works on the files of a controller that is not running."""

import base64
import json
import os
import sys
import time

import ldb
from samba import dsdb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB
import samba.dckeytab  # noqa: F401  adds export_keytab to Net

lab, mail_host = sys.argv[1:3]
lp = LoadParm()
lp.load("/etc/samba/smb.conf")
creds = Credentials()
creds.guess(lp)
sam = SamDB(url="/var/lib/samba/private/sam.ldb", session_info=system_session(), credentials=creds, lp=lp)
base = sam.domain_dn()
DOMAIN = "ad.example.test"
REALM = "AD.EXAMPLE.TEST"
MAIL = mail_host.split(".", 1)[1]
UNTIL_UNLOCKED = "-9223372036854775808"

# A JPEG of one grey pixel.
PHOTO = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////"
    "////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxA="
)

accounts = {}


def add(dn, **attributes):
    entry = {"dn": f"{dn},{base}"}
    entry.update({k: v for k, v in attributes.items() if v is not None})
    sam.add(entry)
    return entry["dn"]


def modify(dn, flag=ldb.FLAG_MOD_REPLACE, controls=None, **attributes):
    message = ldb.Message(ldb.Dn(sam, dn))
    for name, value in attributes.items():
        message[name] = ldb.MessageElement(value, flag, name)
    sam.modify(message, controls or [])


def user(sam_name, given, surname, ou="OU=People", password=None, upn=None, uac=512, **attributes):
    password = password or f"{given}-Pass-2026"
    if upn is None:
        upn = f"{sam_name}@{DOMAIN}"
    dn = add(
        f"CN={given} {surname},{ou}",
        objectClass="user",
        sAMAccountName=sam_name,
        userPrincipalName=upn,
        givenName=given,
        sn=surname,
        displayName=f"{given} {surname}",
        userAccountControl=str(uac),
        clearTextPassword=password.encode("utf-16-le"),
        **attributes,
    )
    accounts[sam_name] = {"password": password, "dn": dn, "upn": upn}
    return dn


def group(name, members, mail=None, kind="-2147483646", ou="OU=Groups"):
    return add(f"CN={name},{ou}", objectClass="group", sAMAccountName=name, groupType=kind, mail=mail, member=members or None)


def filetime(seconds):
    return str(int((seconds + 11644473600) * 10_000_000))


def pso(name, precedence, applies_to, max_age="-9223372036854775808", lockout="0"):
    add(
        f"CN={name},CN=Password Settings Container,CN=System",
        objectClass="msDS-PasswordSettings",
        **{
            "msDS-PasswordSettingsPrecedence": precedence,
            "msDS-PasswordReversibleEncryptionEnabled": "FALSE",
            "msDS-PasswordHistoryLength": "0",
            "msDS-PasswordComplexityEnabled": "FALSE",
            "msDS-MinimumPasswordLength": "0",
            "msDS-MinimumPasswordAge": "0",
            "msDS-MaximumPasswordAge": max_age,
            "msDS-LockoutThreshold": lockout,
            "msDS-LockoutObservationWindow": "-18000000000",
            "msDS-LockoutDuration": UNTIL_UNLOCKED,
            "msDS-PSOAppliesTo": applies_to,
        },
    )


sam.transaction_start()
for ou in ("People", "Berlin", "Groups", "Services", "Bulk"):
    add(f"OU={ou}", objectClass="organizationalUnit")
modify(f"CN=Partitions,CN=Configuration,{base}", flag=ldb.FLAG_MOD_ADD, uPNSuffixes="corp.example.test")

alice = user(
    "alice", "Alice", "Adler", mail=f"alice@{MAIL}", title="Engineer", department="Research", company="Example Ltd",
    physicalDeliveryOfficeName="B 12", telephoneNumber="+49 30 1234-11", mobile="+49 170 1112233",
    streetAddress="Lindenweg 1", l="Berlin", postalCode="10115", co="Germany",
    proxyAddresses=[f"SMTP:alice@{MAIL}", f"smtp:a.adler@{MAIL}", "X400:c=DE;s=Adler"], thumbnailPhoto=PHOTO,
)
bob = user("bob", "Bob", "Baker", department="Sales")
carol = user("carol", "Carol", "Clark", mail=f"carol.clark@{MAIL}", proxyAddresses=[f"SMTP:carol.clark@{MAIL}", f"smtp:cc@{MAIL}"])
dave = user("dave", "Dave", "Dunn", ou="OU=Berlin", mail=f"dave@{MAIL}")
heidi = user("heidi", "Heidi", "Huber", upn="heidi@corp.example.test", mail=f"heidi@{MAIL}")
juergen = user("juergen", "Jürgen", "Müßig", password="Jürgen-Päss-2026", mail=f"juergen@{MAIL}")
zoe = user("zoë", "Zoë", "Žižka", password="Zoe-Pass-2026", mail=f"zoe@{MAIL}")
user("disabled", "Doris", "Disabled", uac=514, mail=f"disabled@{MAIL}")
user("expired", "Egon", "Expired", accountExpires=filetime(time.time() - 86400 * 30), mail=f"expired@{MAIL}")
oldpass = user("oldpass", "Olga", "Oldpass", mail=f"oldpass@{MAIL}")
mustchange = user("mustchange", "Mona", "Mustchange", mail=f"mustchange@{MAIL}")
locked = user("locked", "Luke", "Locked", mail=f"locked@{MAIL}")
user("smartcard", "Sam", "Smartcard", uac=512 | 0x40000, mail=f"smartcard@{MAIL}")
user("posthouse-read", "Posthouse", "Reader", ou="OU=Services", uac=512 | 0x10000)
service = user("posthouse-mail", "Posthouse", "Mail", ou="OU=Services", uac=512 | 0x10000)
other = user("other-service", "Other", "Service", ou="OU=Services", uac=512 | 0x10000)

add("CN=Clara Contact,OU=People", objectClass="contact", displayName="Clara Contact", givenName="Clara", sn="Contact",
    mail="clara@partner.example", telephoneNumber="+43 1 555")
interns = group("interns", [juergen])
developers = group("developers", [carol, heidi, interns])
group("staff", [alice, bob, developers], mail=f"staff@{MAIL}")
group("sales", [bob, f"CN=Clara Contact,OU=People,{base}"], mail=f"sales@{MAIL}", kind="2")
ring_a = group("ring-a", [dave])
ring_b = group("ring-b", [ring_a])
modify(ring_a, flag=ldb.FLAG_MOD_ADD, member=ring_b)

pso("two-days", "10", [oldpass], max_age=str(-2 * 86400 * 10_000_000))
pso("three-attempts", "11", [locked], lockout="3")
# No test password may run out while a cached controller grows old.
modify(base, maxPwdAge="0", lockoutThreshold="0", minPwdAge="0", pwdHistoryLength="0")

modify(mustchange, pwdLastSet="0")
modify(oldpass, controls=[f"local_oid:{dsdb.DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID}:0"], pwdLastSet=filetime(time.time() - 86400 * 300))

# Without this the controller gives such accounts RC4 keys only. 24: AES-128 and AES-256; 4: RC4.
modify(service, **{"msDS-SupportedEncryptionTypes": "28"})
modify(other, **{"msDS-SupportedEncryptionTypes": "28"})
modify(service, servicePrincipalName=[f"{s}/{mail_host}" for s in ("imap", "smtp", "ldap", "HTTP", "pop", "sieve")])
modify(other, servicePrincipalName=["imap/other.example.test", f"nfs/{mail_host}"])
dc = sam.search(base=base, expression="(sAMAccountName=DC1$)", attrs=[])[0].dn
spns = [f"{s}/{h}" for s in ("HOST", "ldap", "GC", "cifs") for h in ("dc1", f"dc1.{DOMAIN}", f"dc1.{DOMAIN}/{DOMAIN}", f"dc1.{DOMAIN}/EXAMPLE")]
present = {str(v).lower() for v in sam.search(base=dc, scope=ldb.SCOPE_BASE, attrs=["servicePrincipalName"])[0].get("servicePrincipalName", [])}
new = [s for s in spns if s.lower() not in present]
if new:
    modify(str(dc), flag=ldb.FLAG_MOD_ADD, servicePrincipalName=new)
sam.transaction_commit()

net = Net(creds, lp)


def export(file, principals):
    path = os.path.join(lab, "keytabs", file)
    if os.path.exists(path):
        os.remove(path)
    for principal in principals:
        net.export_keytab(keytab=path, principal=principal)
    os.chmod(path, 0o600)


own = [f"{s}/{mail_host}" for s in ("imap", "smtp", "ldap", "HTTP", "pop", "sieve")]
export("old-kvno.keytab", own)
sam.setpassword("(sAMAccountName=posthouse-mail)", "Posthouse-Mail-Pass-2", force_change_at_next_login=False)
accounts["posthouse-mail"]["password"] = "Posthouse-Mail-Pass-2"
export("mail.keytab", own)
export("other.keytab", ["imap/other.example.test", f"nfs/{mail_host}"])

# Locked as the controller itself would do it after too many failures.
modify(locked, controls=["relax:0", f"local_oid:{dsdb.DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID}:0"], badPwdCount="3",
       badPasswordTime=filetime(time.time()), lockoutTime=filetime(time.time()))

with open(os.path.join(lab, "accounts.json"), "w", encoding="utf-8") as out:
    json.dump(accounts, out, ensure_ascii=False, indent=1)
