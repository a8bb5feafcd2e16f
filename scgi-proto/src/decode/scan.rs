//! Finding every NUL of a header block, 64 bytes a step.
//!
//! A typical param is 30 bytes long, so a search of its own for each name and value spends most
//! of its time on starting and stopping. Here one pass makes a mask of 64 bits, one for each
//! byte, and the positions are read off the mask. It is safe Rust that compilers turn into
//! vector code where there is some.

use alloc::vec::Vec;

/// How many bytes one mask is made of.
const STEP: usize = 64;

/// Moves the lowest bit of each byte of a word to the top byte, the first byte's lowest: the
/// product adds up the word shifted by 7, 14 .. 56 bits, and no two of those bits meet.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// One bit for each byte that is NUL, the first byte lowest.
///
/// The first loop becomes vector code: it has neither a branch nor a step that needs another.
#[inline]
fn nul_mask(step: &[u8; STEP]) -> u64 {
    let mut is_nul = [0_u8; STEP];
    for (is_nul, byte) in is_nul.iter_mut().zip(step) {
        *is_nul = u8::from(*byte == 0);
    }
    let words = is_nul.chunks_exact(8).map(|word| word.first_chunk().copied().unwrap_or([0; 8]));
    words.enumerate().fold(0, |mask, (index, word)| {
        mask | (u64::from_le_bytes(word).wrapping_mul(GATHER) >> 56) << (8 * index)
    })
}

/// Appends the place of every NUL to `places`, in order; `None` if there are more than `max`.
///
/// Blocks are at most `u32::MAX` bytes long (`Limits::with_header_block`).
pub(super) fn nul_places(block: &[u8], max: usize, places: &mut Vec<u32>) -> Option<()> {
    let mut at = 0;
    let mut left = block;
    while let Some((step, rest)) = left.split_first_chunk() {
        push_places(nul_mask(step), at, places);
        if places.len() > max {
            return None;
        }
        at += STEP as u32;
        left = rest;
    }
    // What is left is shorter: filled up with something else than NUL.
    let mut last = [1; STEP];
    last[..left.len()].copy_from_slice(left);
    push_places(nul_mask(&last), at, places);
    (places.len() <= max).then_some(())
}

#[inline]
fn push_places(mut mask: u64, at: u32, places: &mut Vec<u32>) {
    while mask != 0 {
        places.push(at + mask.trailing_zeros());
        mask &= mask - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fast(block: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        assert_eq!(nul_places(block, block.len(), &mut places), Some(()));
        places.into_iter().map(|place| place as usize).collect()
    }

    fn plain(block: &[u8]) -> Vec<usize> {
        (0..block.len()).filter(|at| block[*at] == 0).collect()
    }

    #[test]
    fn every_byte_value_beside_every_other() {
        for first in 0..=255 {
            for second in 0..=255 {
                let step: [u8; STEP] = core::array::from_fn(|at| match at % 5 {
                    0 => first,
                    1 | 3 => second,
                    2 => 0,
                    _ => 0x80,
                });
                let expected = plain(&step).iter().fold(0, |mask, at| mask | 1 << at);
                assert_eq!(nul_mask(&step), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn same_as_the_plain_search() {
        // A linear congruential generator is random enough to place some NULs.
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & if state & 0x0080_0000 == 0 { 0x03 } else { 0xff }
        };
        for len in 0..600 {
            let block: Vec<u8> = (0..len).map(|_| byte()).collect();
            assert_eq!(fast(&block), plain(&block), "{len} bytes");
        }
    }

    #[test]
    fn stops_soon_after_the_maximum() {
        let mut places = Vec::new();
        assert_eq!(nul_places(&[0; 1000], 10, &mut places), None);
        assert!(places.len() <= 10 + STEP, "{}", places.len());
        assert_eq!(nul_places(&[0; 10], 10, &mut Vec::new()), Some(()));
        assert_eq!(nul_places(&[0; 11], 10, &mut Vec::new()), None);
    }
}
