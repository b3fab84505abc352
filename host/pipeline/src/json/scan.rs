//! One pass over a JSON text for what the parser must not meet.

/// Deepest nesting of arrays and objects. An envelope's cache policy in a policy
/// in a policy takes about 12.
pub(super) const DEEPEST: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Offsets of `\uXXXX` escapes that are half of a surrogate pair.
    pub(super) surrogates: Vec<usize>,
}

/// Looks for lone surrogates and for nesting over [`DEEPEST`]; the error is the
/// offset at which that begins. The text need not be JSON.
pub(super) fn scan(text: &[u8]) -> Result<Scan, usize> {
    let mut scan = Scan::default();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while let Some(&byte) = text.get(at) {
        if in_string {
            match byte {
                b'"' => in_string = false,
                b'\\' => {
                    at += escape(text, at, &mut scan.surrogates);
                    continue;
                }
                _ => {}
            }
        } else {
            match byte {
                b'"' => in_string = true,
                b'[' | b'{' => {
                    depth += 1;
                    if depth > DEEPEST {
                        return Err(at);
                    }
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        at += 1;
    }
    Ok(scan)
}

/// Returns the length of the escape at `at`, a pair of surrogates counted as one.
fn escape(text: &[u8], at: usize, surrogates: &mut Vec<usize>) -> usize {
    match code_unit(text, at) {
        None => 2,
        Some(0xd800..=0xdbff) => {
            if matches!(code_unit(text, at + 6), Some(0xdc00..=0xdfff)) {
                return 12;
            }
            surrogates.push(at);
            6
        }
        Some(0xdc00..=0xdfff) => {
            surrogates.push(at);
            6
        }
        Some(_) => 6,
    }
}

/// Returns the number of the `\uXXXX` escape at `at`.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
