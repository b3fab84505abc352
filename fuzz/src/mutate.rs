//! Inputs made of others.

/// Bytes of an input at most: deep enough for every reader, small enough for many a second.
const MOST: usize = 64 << 10;

/// Numbers that lengths, indices and signs go wrong at.
const EDGES: &[u8] = &[0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff];

/// SplitMix64: a seed that was printed can be tried again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Returns one of the corpus, changed in a few places.
    pub(crate) fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match corpus.len() {
            0 => Vec::new(),
            count => corpus[self.below(count)].clone(),
        };
        for _ in 0..=self.below(8) {
            self.change(&mut input, corpus);
        }
        input.truncate(MOST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len());
        match self.below(7) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = EDGES[self.below(EDGES.len())],
            2 if !input.is_empty() => {
                let end = (at + 1 + self.below(32)).min(input.len());
                input.drain(at..end);
            }
            3 => input.truncate(at),
            // A part of itself again, as nesting and lists are made of.
            4 if !input.is_empty() => {
                let end = (at + 1 + self.below(64)).min(input.len());
                let part = input[at..end].to_vec();
                for _ in 0..=self.below(8) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            5 if !corpus.is_empty() => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len());
                let end = (from + 1 + self.below(256)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let byte = self.next() as u8;
                input.insert(at, byte);
            }
        }
    }
}
