//! Finds the end of plain text in a JSON string, eight bytes at a time.

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
    fn the_first_of_several_is_found() {
        for first in [b'"', b'\\', 0, 0x1f] {
            for second in [b'"', b'\\', 0, 0x1f, 0x20, 0x80, 0xff] {
                let bytes = [b'a', b'#', b'[', first, second, b'!', 0x7f, b'a', first];
                assert_eq!(special(&bytes), Some(3), "{first} {second}");
            }
        }
    }
}
