//! Numbers as ASCII digits, both ways.

/// The digits of a number, without an allocation or the formatting machinery.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn new(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Why a length could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LengthError {
    NotDigits,
    Overflow,
}

/// Parses ASCII digits, leading zeros allowed, as a checked 64-bit number.
pub(crate) fn parse_length(value: &[u8]) -> Result<u64, LengthError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(LengthError::NotDigits);
    }
    value.iter().try_fold(0_u64, |len, digit| {
        len.checked_mul(10)
            .and_then(|len| len.checked_add(u64::from(digit - b'0')))
            .ok_or(LengthError::Overflow)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn same_as_display() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(Decimal::new(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(parse_length(b"0"), Ok(0));
        assert_eq!(parse_length(b"007"), Ok(7));
        assert_eq!(parse_length(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_length(b"18446744073709551616"), Err(LengthError::Overflow));
        for bad in [&b""[..], b"-5", b"+5", b" 5", b"5 ", b"0x5", b"5a"] {
            assert_eq!(parse_length(bad), Err(LengthError::NotDigits), "{bad:?}");
        }
    }
}
