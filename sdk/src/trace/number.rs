//! Floating-point numbers for lines of diagnostics.

use std::fmt::Write;

/// Digits that are shown.
const DIGITS: i32 = 9;

/// Returns a number with nine digits. What the standard library has for it is exact, and
/// seven kilobytes of every component, whether it logs numbers or not.
pub(super) fn shown(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return match value {
            _ if value.is_nan() => "NaN",
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            _ => "0.0",
        }
        .into();
    }
    let (digits, exponent) = scaled(value.abs());
    let mut digits = digits.to_string();
    digits.truncate(digits.trim_end_matches('0').len().max(1));
    let sign = if value < 0.0 { "-" } else { "" };
    let mut text = String::from(sign);
    let whole = exponent + 1;
    if !(-DIGITS / 2..=DIGITS).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let _ = write!(text, "{first}{dot}{rest}e{exponent}");
    } else if whole <= 0 {
        let zeros = "0".repeat(whole.unsigned_abs() as usize);
        let _ = write!(text, "0.{zeros}{digits}");
    } else if digits.len() as i32 <= whole {
        let zeros = "0".repeat(whole as usize - digits.len());
        let _ = write!(text, "{digits}{zeros}.0");
    } else {
        let (before, after) = digits.split_at(whole as usize);
        let _ = write!(text, "{before}.{after}");
    }
    text
}

/// Returns nine digits as a whole number, and the power of ten of the first of them.
fn scaled(value: f64) -> (u64, i32) {
    let (mut value, mut exponent) = (value, DIGITS - 1);
    while value >= 1e9 {
        value /= 10.0;
        exponent += 1;
    }
    while value < 1e8 {
        value *= 10.0;
        exponent -= 1;
    }
    match value.round() as u64 {
        1_000_000_000 => (100_000_000, exponent + 1),
        digits => (digits, exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_a_person_writes_it() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1234.5678, "1234.5678"),
            (0.001, "0.001"),
            (1e9, "1000000000.0"),
            (1e20, "1e20"),
            (-1.5e-7, "-1.5e-7"),
            (0.999_999_999_9, "1.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn nine_digits_are_right() {
        for value in [
            1.0 / 3.0,
            2e300 / 7.0,
            5e-300 / 7.0,
            98_765.432_109_8,
            1e15 / 3.0,
        ] {
            let read: f64 = shown(value).parse().expect("a number");
            assert!(((read - value) / value).abs() < 1e-8, "{value} {read}");
        }
    }
}
