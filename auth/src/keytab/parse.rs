//! MIT keytab files: the entries, and a copy without weak keys. Bounded; nothing in here may panic.

use zeroize::Zeroizing;

/// Largest keytab in bytes; a key of a service takes about a hundred.
pub(crate) const MAX_FILE: usize = 256 * 1024;
/// Most entries.
const MAX_ENTRIES: usize = 4_096;
/// Most components of a principal.
const MAX_COMPONENTS: u16 = 16;
/// File format version 2, big-endian; version 1 is in the byte order of the machine that made it.
const VERSION_2: [u8; 2] = [5, 2];

/// An entry without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Components of the principal: service and host.
    pub(crate) name: Vec<String>,
    pub(crate) realm: String,
    pub(crate) kvno: u32,
    /// Encryption type (RFC 3961 §8).
    pub(crate) etype: u16,
}

impl Entry {
    /// `imap/mail.example.test@REALM`.
    pub(crate) fn principal(&self) -> String {
        format!("{}@{}", self.name.join("/"), self.realm)
    }

    /// DES, triple DES and RC4 keys are never used (RFC 6649, RFC 8429).
    pub(crate) fn is_weak(&self) -> bool {
        !matches!(self.etype, 17..=20 | 25 | 26)
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let principal = crate::failures::escaped(&self.principal());
        let etype = etype_name(i64::from(self.etype));
        write!(f, "{principal} key version {} {etype}", self.kvno)?;
        if self.is_weak() { f.write_str(" (weak, not used)") } else { Ok(()) }
    }
}

/// Name of an encryption type, as `klist -e` prints it.
pub(crate) fn etype_name(etype: i64) -> String {
    match etype {
        1 => "des-cbc-crc".to_owned(),
        3 => "des-cbc-md5".to_owned(),
        16 => "des3-cbc-sha1".to_owned(),
        17 => "aes128-cts-hmac-sha1-96".to_owned(),
        18 => "aes256-cts-hmac-sha1-96".to_owned(),
        19 => "aes128-cts-hmac-sha256-128".to_owned(),
        20 => "aes256-cts-hmac-sha384-192".to_owned(),
        23 => "arcfour-hmac (RC4)".to_owned(),
        25 => "camellia128-cts-cmac".to_owned(),
        26 => "camellia256-cts-cmac".to_owned(),
        other => format!("encryption type {other}"),
    }
}

/// A keytab: what is in it, and the file for the Kerberos library without its weak keys.
pub(crate) struct Keytab {
    pub(crate) entries: Vec<Entry>,
    /// Version 2 file with the strong keys.
    pub(crate) file: Zeroizing<Vec<u8>>,
}

impl Keytab {
    /// The error says what is wrong, for the administrator.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_FILE {
            return Err(format!("it is larger than {MAX_FILE} bytes"));
        }
        let Some((version, mut rest)) = bytes.split_at_checked(2) else {
            return Err("it is empty".to_owned());
        };
        match version {
            v if v == VERSION_2 => {}
            [5, 1] => return Err("it is in format version 1; make it anew".to_owned()),
            _ => return Err("this is not a keytab file".to_owned()),
        }
        let mut file = Zeroizing::new(VERSION_2.to_vec());
        let mut entries = Vec::new();
        while let Some((size, after)) = rest.split_first_chunk::<4>() {
            let size = i32::from_be_bytes(*size);
            let (record, after) = after
                .split_at_checked(size.unsigned_abs() as usize)
                .ok_or("it is cut off in the middle")?;
            rest = after;
            if size <= 0 {
                continue; // a hole that a removed entry left
            }
            if entries.len() >= MAX_ENTRIES {
                return Err(format!("it has more than {MAX_ENTRIES} entries"));
            }
            let entry = parse_entry(record).ok_or("an entry is damaged")?;
            if !entry.is_weak() {
                file.extend_from_slice(&size.to_be_bytes());
                file.extend_from_slice(record);
            }
            entries.push(entry);
        }
        if !rest.is_empty() {
            return Err("it is cut off in the middle".to_owned());
        }
        if entries.is_empty() {
            return Err("it has no entries".to_owned());
        }
        if entries.iter().all(Entry::is_weak) {
            let advice = "make it with AES keys (ktpass -crypto AES256-SHA1)";
            return Err(format!("it has RC4 or DES keys only; {advice}"));
        }
        Ok(Self { entries, file })
    }
}

/// Principal, name type, timestamp, short key version, key; then a long key version that counts if it is not zero.
fn parse_entry(record: &[u8]) -> Option<Entry> {
    let mut reader = Reader(record);
    let components = reader.u16()?;
    if components == 0 || components > MAX_COMPONENTS {
        return None;
    }
    let realm = reader.text()?;
    let name = (0..components).map(|_| reader.text()).collect::<Option<Vec<_>>>()?;
    let _name_type = reader.u32()?;
    let _timestamp = reader.u32()?;
    let [short_kvno] = reader.array::<1>()?;
    let etype = reader.u16()?;
    let _key = reader.data()?;
    let kvno = reader.u32().filter(|kvno| *kvno != 0).unwrap_or(u32::from(short_kvno));
    Some(Entry { name, realm, kvno, etype })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn data(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        let (data, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(data)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.data()?).ok().map(str::to_owned)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A keytab with these entries; the keys are zeros.
    pub(crate) fn file(entries: &[(&str, u32, u16)]) -> Vec<u8> {
        let mut out = VERSION_2.to_vec();
        for (principal, kvno, etype) in entries {
            let record = record(principal, *kvno, *etype);
            out.extend((record.len() as i32).to_be_bytes());
            out.extend(record);
        }
        out
    }

    fn record(principal: &str, kvno: u32, etype: u16) -> Vec<u8> {
        let (name, realm) = principal.rsplit_once('@').unwrap();
        let mut out = (name.split('/').count() as u16).to_be_bytes().to_vec();
        for text in std::iter::once(realm).chain(name.split('/')) {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out.extend([0, 0, 0, 1, 0, 0, 0, 0, kvno as u8]);
        out.extend(etype.to_be_bytes());
        out.extend([0, 16]);
        out.extend([0; 16]);
        out.extend(kvno.to_be_bytes());
        out
    }

    #[test]
    fn entries_are_listed_and_weak_keys_are_left_out_of_the_copy() {
        let strong = ("imap/mail.example.test@EXAMPLE.TEST", 300, 18);
        let mut bytes = file(&[strong]);
        bytes.extend((-8i32).to_be_bytes()); // a hole
        bytes.extend([0xff; 8]);
        bytes.extend(&file(&[("imap/mail.example.test@EXAMPLE.TEST", 300, 23)])[2..]);
        let keytab = Keytab::parse(&bytes).unwrap();
        let listed: Vec<_> = keytab.entries.iter().map(ToString::to_string).collect();
        assert_eq!(
            listed,
            [
                "imap/mail.example.test@EXAMPLE.TEST key version 300 aes256-cts-hmac-sha1-96",
                "imap/mail.example.test@EXAMPLE.TEST key version 300 arcfour-hmac (RC4) (weak, not used)",
            ]
        );
        assert_eq!(*keytab.file, file(&[strong]));
    }

    #[test]
    fn what_is_no_keytab_is_refused_with_the_cause() {
        let good = file(&[("imap/m@R", 1, 18)]);
        for (bytes, cause) in [
            (&b""[..], "empty"),
            (b"\x05", "empty"),
            (b"\x05\x02", "no entries"),
            (b"\x05\x01\0\0", "version 1"),
            (b"-----BEGIN CERTIFICATE-----", "not a keytab"),
            (&good[..good.len() - 1], "cut off"),
            (&[good.as_slice(), b"\0"].concat(), "cut off"),
            (&file(&[("imap/m@R", 1, 23)]), "RC4"),
            (&[good.as_slice(), &[0, 0, 0, 4, 0, 1, 0, 9]].concat(), "damaged"),
            (&[good.as_slice(), &i32::MIN.to_be_bytes()].concat(), "cut off"),
            (&vec![5; MAX_FILE + 1], "larger"),
        ] {
            let error = Keytab::parse(bytes).err().unwrap_or_default();
            assert!(error.contains(cause), "{error:?} should say {cause:?}");
        }
    }

    #[test]
    fn the_short_key_version_counts_when_the_long_one_is_missing() {
        let mut record = record("imap/m@R", 7, 18);
        record.truncate(record.len() - 4);
        assert_eq!(parse_entry(&record).unwrap().kvno, 7);
    }

    #[test]
    fn mutated_keytabs_are_refused_or_listed_but_never_break_the_parser() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(13);
        let good = file(&[("imap/mail.example.test@R", 2, 18), ("HTTP/mail@R", 2, 23)]);
        let mut listed = 0;
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..random.random_range(1..5) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
            bytes.truncate(random.random_range(0..bytes.len() * 3).max(1));
            if let Ok(keytab) = Keytab::parse(&bytes) {
                assert!(keytab.file.len() <= bytes.len());
                assert!(Keytab::parse(&keytab.file).is_ok());
                listed += 1;
            }
        }
        assert!(listed > 1_000, "{listed}");
    }
}
