//! `date` and `date-time` (RFC 9051 §9).

use posthouse_cluster::Timestamp;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes INTERNALDATE: ` 1-Jan-2026 12:00:00 +0000`, always in UTC.
pub fn write_date_time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(0);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let month = MONTHS.get(usize::from(u8::from(at.month())) - 1).unwrap_or(&"Jan");
    let (hour, minute, second) = at.to_hms();
    let (day, year) = (at.day(), at.year());
    format!("{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

fn month(name: &str) -> Option<Month> {
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Month::try_from(at as u8 + 1).ok()
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let good = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

fn calendar(text: &str) -> Option<Date> {
    let mut words = text.splitn(3, '-');
    let day = number(words.next()?, 1..=2)?;
    let month = month(words.next()?)?;
    let year = number(words.next()?, 4..=4)?;
    Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
}

/// What lies before 1970 counts as its first moment.
fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp(u64::try_from(at.unix_timestamp()).unwrap_or(0) * 1000)
}

/// Reads `1-Jan-2026` as the start of that day, UTC.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    Some(timestamp(calendar(text)?.midnight().assume_utc()))
}

/// Reads ` 1-Jan-2026 12:00:00 +0100`.
pub fn parse_date_time(text: &str) -> Option<Timestamp> {
    let mut words = text.trim_start_matches(' ').split(' ');
    let date = calendar(words.next()?)?;
    let mut clock = words.next()?.split(':').map(|part| number(part, 2..=2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let zone = words.next()?;
    if clock.next().is_some() || words.next().is_some() || !zone.is_ascii() || zone.len() != 5 {
        return None;
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let hours = i8::try_from(number(zone.get(1..3)?, 2..=2)?).ok()? * sign;
    let minutes = i8::try_from(number(zone.get(3..)?, 2..=2)?).ok()? * sign;
    let offset = UtcOffset::from_hms(hours, minutes, 0).ok()?;
    // a leap second is the last one of its minute
    let time = Time::from_hms(hour as u8, minute as u8, second.min(59) as u8).ok()?;
    Some(timestamp(date.with_time(time).assume_offset(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates_round_trip_in_utc() {
        for (text, seconds, written) in [
            (" 1-Jan-1970 00:00:01 +0000", 1, " 1-Jan-1970 00:00:01 +0000"),
            ("24-Nov-2026 11:20:00 +0100", 1_795_515_600, "24-Nov-2026 10:20:00 +0000"),
            ("01-mar-2024 00:00:00 -1130", 1_709_292_600, " 1-Mar-2024 11:30:00 +0000"),
        ] {
            let at = parse_date_time(text);
            assert_eq!(at, Some(Timestamp(seconds * 1000)), "{text}");
            assert_eq!(write_date_time(at.unwrap()), written);
        }
        for bad in ["", "31-Feb-2026 00:00:00 +0000", "1-Jan-2026 25:00:00 +0000", "1-Jan-2026"] {
            assert_eq!(parse_date_time(bad), None, "{bad}");
        }
    }
}
