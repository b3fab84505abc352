//! Looks at text eight bytes at a time: a component's code has no vector instructions, and a
//! comparison of slices is a call there.

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Returns where the first byte is that is not simply itself in a JSON string: `"`, `\` or
/// a control character.
pub(super) fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| is_special(*byte))?;
    Some(words.len() * 8 + at)
}

/// Returns how many digits stand at the beginning.
pub(super) fn digits(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let whole = words
        .iter()
        .take_while(|word| are_digits(u64::from_le_bytes(**word)))
        .count()
        * 8;
    let rest = &bytes[whole..];
    whole + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits are 0x30 to 0x39: they have the high half 3, and with 6 more they still have.
fn are_digits(word: u64) -> bool {
    let high = |word: u64| word & (ONES * 0xf0);
    high(word) == ONES * 0x30 && high(word.wrapping_add(ONES * 6)) == ONES * 0x30
}

/// Compares two texts of one length.
pub(super) fn is_same<const N: usize>(one: &[u8; N], other: &[u8; N]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    words
        .iter()
        .zip(other_words)
        .all(|(one, other)| word(one) == word(other))
        && rest.iter().zip(other_rest).all(|(one, other)| one == other)
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// Returns a word whose lowest high bit stands in the first special byte. Bits above it may
/// be set for no reason, since a subtraction borrows from there (Warren, Hacker's Delight,
/// section 6-1).
fn specials(word: u64) -> u64 {
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_alike_in_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                for len in at + 1..24 {
                    let mut bytes = vec![b'x'; len];
                    bytes[at] = byte;
                    let expected = is_special(byte).then_some(at);
                    assert_eq!(special(&bytes), expected, "{byte} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn digits_end_at_the_first_other_byte() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = *b"01234567890123456789";
                bytes[at] = byte;
                let expected = bytes.iter().position(|byte| !byte.is_ascii_digit());
                assert_eq!(digits(&bytes), expected.unwrap_or(20), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn what_differs_in_one_byte_is_not_the_same() {
        let text = *b"\"stream_kind\":";
        assert!(is_same(&text, &text));
        for at in 0..text.len() {
            let mut other = text;
            other[at] ^= 0x80;
            assert!(!is_same(&text, &other), "{at}");
        }
    }

    #[test]
    fn the_first_of_several_is_found() {
        for first in [b'"', b'\\', 0, 0x1f] {
            for second in [b'"', b'\\', 0, 0x1f, 0x20, 0x80, 0xff] {
                let bytes = [b'a', b'#', b'[', first, second, b'!', 0x7f, b'a', first];
                assert_eq!(special(&bytes), Some(3), "{first} {second}");
            }
        }
    }
}
