//! Finds every NUL of a header block, 64 bytes at a time.
//!
//! A typical param is 30 bytes long, so a search of its own for each name and value spends most
//! of its time on starting and stopping. Here one pass makes a mask of 64 bits, one for each
//! byte, and the positions are read off the mask.

use alloc::vec::Vec;

use super::mask::{STEP, nul_mask};

/// The place of every NUL, in order; `None` if there are more than `max`.
///
/// Blocks are at most `u32::MAX` bytes long (`Limits::with_max_header_block_len`).
pub(super) fn nul_places(block: &[u8], max: usize) -> Option<Vec<u32>> {
    // One allocation: beyond the first 18, heads of real servers have 16 bytes for each NUL.
    let mut places = Vec::with_capacity((block.len() / 16 + 18).min(max));
    let mut at = 0;
    let mut left = block;
    while let Some((step, rest)) = left.split_first_chunk() {
        push_places(nul_mask(step), at, &mut places);
        if places.len() > max {
            return None;
        }
        at += STEP as u32;
        left = rest;
    }
    // What is left is shorter: filled up with something else than NUL.
    let mut last = [1; STEP];
    last[..left.len()].copy_from_slice(left);
    push_places(nul_mask(&last), at, &mut places);
    (places.len() <= max).then_some(places)
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
        let places = nul_places(block, block.len()).expect("no more than bytes");
        places.into_iter().map(|place| place as usize).collect()
    }

    fn plain(block: &[u8]) -> Vec<usize> {
        (0..block.len()).filter(|at| block[*at] == 0).collect()
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
    fn stops_at_the_maximum() {
        assert_eq!(nul_places(&[0; 1000], 10), None);
        assert_eq!(nul_places(&[0; 10], 10).map(|places| places.len()), Some(10));
        assert_eq!(nul_places(&[0; 11], 10), None);
        assert_eq!(nul_places(&[0; 64], 63), None);
        // As many as allowed, and bytes behind them.
        let block = [&[0; 64][..], &[1; 100]].concat();
        assert_eq!(nul_places(&block, 64).map(|places| places.len()), Some(64));
    }
}
