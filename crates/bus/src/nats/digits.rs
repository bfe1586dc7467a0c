//! Numbers as they stand in subjects and headers: written digit by digit, since a formatter takes a microsecond to write
//! what every message carries.

/// Letters that a token of a subject and a header take.
const LETTERS: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Digits of the largest number.
const DECIMAL_MAX: usize = 20;

/// Adds a number in decimal digits.
pub(crate) fn push_decimal(text: &mut String, mut number: u64) {
    let (mut digits, mut start) = ([0; DECIMAL_MAX], DECIMAL_MAX);
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[start..].iter().for_each(|digit| text.push(char::from(*digit)));
}

/// Adds a number by letters that each stand for six bits, the lowest first: as few as it takes.
pub(crate) fn push_letters(text: &mut String, mut number: u64) {
    loop {
        text.push(char::from(LETTERS[(number & 63) as usize]));
        number >>= 6;
        if number == 0 {
            break;
        }
    }
}

/// The number at the beginning of a text, and what follows it; `None`: there is none.
pub(crate) fn take_decimal(text: &str) -> Option<(u64, &str)> {
    let mut number: Option<u64> = None;
    for (at, byte) in text.bytes().enumerate() {
        if !byte.is_ascii_digit() {
            return Some((number?, &text[at..]));
        }
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
    }
    Some((number?, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read() {
        for number in [0, 7, 10, 999, 1 << 40, u64::MAX] {
            let mut text = String::from("a.");
            push_decimal(&mut text, number);
            assert_eq!(text, format!("a.{number}"));
            assert_eq!(take_decimal(&text[2..]), Some((number, "")));
            text.push_str("-5");
            assert_eq!(take_decimal(&text[2..]), Some((number, "-5")));
        }
        for none in ["", "-1", "x", "18446744073709551616", "99999999999999999999999-"] {
            assert_eq!(take_decimal(none), None, "{none}");
        }
    }

    #[test]
    fn each_number_has_letters_of_its_own() {
        let letters = |number| {
            let mut text = String::new();
            push_letters(&mut text, number);
            text
        };
        let all: std::collections::BTreeSet<_> = (0..5_000).map(letters).collect();
        assert_eq!(all.len(), 5_000);
        assert_eq!((letters(0).as_str(), letters(u64::MAX).len()), ("A", 11));
    }
}
