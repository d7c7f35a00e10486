//! The little of DER (X.690) that Kerberos tokens need: low tag numbers, definite lengths, a fixed depth.

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const GENERAL_STRING: u8 = 0x1b;

/// `[number]`, constructed.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// `[APPLICATION number]`, constructed.
pub(crate) const fn application(number: u8) -> u8 {
    0x60 | number
}

/// Elements one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, whatever it is.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, content, whole })
    }

    /// Whether there are only elements in here, and in those that are constructed, at most `depth` deep.
    pub(crate) fn is_sound(mut self, depth: usize) -> bool {
        while !self.0.is_empty() {
            let Some(element) = self.next() else { return false };
            let constructed = element.tag & 0x20 != 0;
            let deeper = || Reader(element.content).is_sound(depth - 1);
            if constructed && (depth == 0 || !deeper()) {
                return false;
            }
        }
        true
    }

    /// The next element, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Reader<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(Reader(element.content))
    }

    /// The content of `[number]`, if that comes next.
    pub(crate) fn field(&mut self, number: u8) -> Option<Reader<'a>> {
        self.expect(context(number))
    }

    /// The bytes of the only element in here.
    pub(crate) fn only(mut self, tag: u8) -> Option<&'a [u8]> {
        let content = self.expect(tag)?.0;
        self.0.is_empty().then_some(content)
    }

    /// The only element in here as a number of at most 32 bits, signed or not.
    pub(crate) fn integer(self) -> Option<i64> {
        let bytes = self.only(INTEGER)?;
        if bytes.is_empty() || bytes.len() > 5 {
            return None;
        }
        let negative = bytes.first()? & 0x80 != 0;
        let start = if negative { -1 } else { 0 };
        Some(bytes.iter().fold(start, |number, byte| number << 8 | i64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_never_reach_beyond_their_bytes() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x01",
            b"\x30\x80\0\0",
            b"\x30\x81",
            b"\x30\x82\xff",
            b"\x30\x84\xff\xff\xff\xff\0",
            b"\x30\x85\0\0\0\0\x01\0",
            b"\x3f\x01\x00",
        ] {
            assert_eq!(Reader(bytes).next(), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn only_elements_of_some_depth_are_sound() {
        for (bytes, depth, sound) in [
            (&b""[..], 0, true),
            (b"\x02\x01\xff\x04\x02\x30\x09", 0, true),
            (b"\x30\x02\x05\x00", 0, false),
            (b"\x30\x02\x05\x00", 1, true),
            (b"\x30\x02\xa0\x00", 1, false),
            (b"\x30\x02\xa0\x00", 2, true),
            (b"\x30\x02\x05\x01\x00", 9, false),
            (b"\x30\x03\x1f\x81\x00", 9, false),
            (b"\x05\x00\x05", 9, false),
        ] {
            assert_eq!(Reader(bytes).is_sound(depth), sound, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn integers_of_32_bits() {
        for (bytes, number) in [
            (&b"\x02\x01\x12"[..], Some(18)),
            (b"\x02\x01\xff", Some(-1)),
            (b"\x02\x02\xff\x79", Some(-135)),
            (b"\x02\x05\0\xff\xff\xff\xff", Some(0xffff_ffff)),
            (b"\x02\x00", None),
            (b"\x02\x06\0\0\0\0\0\0", None),
            (b"\x02\x01\x12\0", None),
            (b"\x04\x01\x12", None),
        ] {
            assert_eq!(Reader(bytes).integer(), number, "{}", bytes.escape_ascii());
        }
    }
}
