//! Any bytes as a file of the body log.

use std::path::Path;

use posthouse_cluster::{
    env::{Disk, Open},
    sim::SimDisk,
};

use super::{
    record::{ALIGN, HEADER, Header, MAGIC},
    scan::{Scan, scan},
};

/// Scans the file as the last one and as an earlier one.
pub(crate) fn file(data: &[u8], repair: bool) {
    let mut content = data.to_vec();
    if repair {
        put_right(&mut content);
    }
    for last in [true, false] {
        let Some(found) = scanned(&content, last) else { continue };
        check(&found, &content);
        let cut = content.get(..found.end as usize).unwrap_or_default();
        let again = scanned(cut, last);
        assert_eq!(again.map(|again| again.records), Some(found.records), "cut to what is valid");
    }
}

fn check(found: &Scan, content: &[u8]) {
    let mut at = 0;
    for (offset, header) in &found.records {
        assert_eq!(*offset, at, "records follow each other");
        let bytes = content.get(at as usize..).unwrap_or_default();
        assert_eq!(bytes.get(..HEADER), Some(&header.encode()[..]), "a header has one form");
        at += header.record();
    }
    assert!(at == found.end && found.end as usize <= content.len() && at % ALIGN == 0);
}

fn scanned(content: &[u8], last: bool) -> Option<Scan> {
    let disk = SimDisk::new(1);
    let path = Path::new("/bodies");
    let file = disk.open(path, Open::New).ok()?;
    file.write_at(content, 0).ok()?;
    scan(&*file, "bodies", last).ok()
}

/// Lays headers over the content where the chain of records would have them: magic, a body that fits, checksums.
fn put_right(content: &mut [u8]) {
    let mut at = 0;
    while let Some((header, rest)) =
        content.get_mut(at..).and_then(|c| c.split_at_mut_checked(HEADER))
    {
        let Some([low, high]) = header.get(24..26).and_then(|b| <[u8; 2]>::try_from(b).ok()) else {
            return;
        };
        // a short length more often than not, so that more than one record fits
        let length = usize::from(if high % 4 == 0 { u16::from(low) } else { u16::from(low) % 24 });
        let body = rest.get(..length.min(rest.len())).unwrap_or_default();
        let crc = crc32fast::hash(body);
        let mut put = |from: usize, bytes: &[u8]| {
            if let Some(field) = header.get_mut(from..from + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        };
        put(0, &MAGIC);
        put(24, &(length as u32).to_le_bytes());
        put(28, &crc.to_le_bytes());
        put(68, &[0; 4]);
        let sum = header.get(..64).map(crc32fast::hash).unwrap_or_default();
        if let Some(field) = header.get_mut(64..68) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
        at += Header::decode(header).map_or(HEADER, |header| header.record() as usize);
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn files_of_any_content_are_cut_or_refused_the_same_way_twice() {
        let mut sound = vec![0; 400];
        put_right(&mut sound);
        let whole = scanned(&sound, true).unwrap();
        assert!(whole.records.len() > 3, "{}", whole.records.len());
        let mut random = StdRng::seed_from_u64(29);
        for round in 0..2_000 {
            let mut content = sound.clone();
            for _ in 0..random.random_range(1..20) {
                let at = random.random_range(0..content.len());
                content[at] = random.random();
            }
            content.truncate(random.random_range(0..=content.len() * 2));
            file(&content, round % 2 == 0);
        }
    }
}
