//! Lengths of time as people write them.

/// Returns the seconds in `1h30m`, `45s` or `1d`: numbers with the units `d`, `h`, `m`
/// and `s`, added up. None if it is something else or does not fit.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let factor = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(factor)?)?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    Some(total)
}
