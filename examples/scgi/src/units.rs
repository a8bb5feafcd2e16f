//! Parses durations and sizes on the command line.

use std::time::Duration;

/// Parses `2s`, `500ms`, `1m 30s`, or bare seconds (`2`, `0.5`).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(seconds) if is_bare => {
            Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
        }
        _ => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// As [`duration`]; `off` means no limit.
pub(crate) fn duration_or_off(text: &str) -> Result<Duration, String> {
    if text == "off" { Ok(Duration::MAX) } else { duration(text) }
}

/// Parses bytes: `65536`, `64KiB`, `64kB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => {
            return Err("a size is a number of bytes, or one with KiB, MiB, GiB, kB, MB, GB".into());
        }
    };
    let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_string())?;
    number.checked_mul(unit).ok_or_else(|| "the size is over 64 bits".into())
}

/// As [`size`], for what is held in memory.
pub(crate) fn size_in_memory(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "the size is over the address space".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("2s", 2000),
            ("500ms", 500),
            ("1m", 60_000),
            ("2", 2000),
            ("0.5", 500),
            ("1m 5s", 65_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration_or_off("off"), Ok(Duration::MAX));
        assert_eq!(duration_or_off("2s"), Ok(Duration::from_secs(2)));
        assert!(duration("off").is_err() && duration_or_off("on").is_err());
        for text in ["", ".", "-1", "1x", "inf", "1e3", "99999999999999999999999"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
            ("5kB", 5000),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5KiB", "1KiBs", "99999999999999999999", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
