//! Finds the NULs among 64 bytes, as the bits of a number (the first byte is the lowest bit).
//!
//! Processors can do that in a few steps, which safe Rust cannot ask for by itself. With the
//! feature `simd` the crate `wide` does; without it, arithmetic that compilers turn into vector
//! code does nearly as well.

/// How many bytes one mask is made of.
pub(super) const STEP: usize = 64;

#[inline]
pub(super) fn nul_mask(step: &[u8; STEP]) -> u64 {
    #[cfg(feature = "simd")]
    return simd(step);
    #[cfg(not(feature = "simd"))]
    portable(step)
}

/// Compares 16 bytes at once and gathers the results.
#[cfg(feature = "simd")]
#[inline]
fn simd(step: &[u8; STEP]) -> u64 {
    use wide::{CmpEq, i8x16};
    step.chunks_exact(16).enumerate().fold(0, |mask, (index, bytes)| {
        let bytes: [u8; 16] = bytes.first_chunk().copied().unwrap_or([1; 16]);
        let nuls = i8x16::new(bytes.map(|byte| byte as i8)).cmp_eq(i8x16::ZERO).move_mask();
        // Only the lower 16 bits can be set.
        mask | u64::from(nuls as u16) << (16 * index)
    })
}

/// The same without anything special.
///
/// The loop becomes vector code, as it has neither a branch nor a step that needs another. It
/// sets bit 0 for a NUL among the first eight bytes, bit 1 among the next eight, and so on. Laid
/// over each other these are a matrix of eight by eight bits, with columns for rows.
#[cfg(any(test, not(feature = "simd")))]
#[inline]
fn portable(step: &[u8; STEP]) -> u64 {
    let mut flags = [0_u8; STEP];
    for (index, (flag, byte)) in flags.iter_mut().zip(step).enumerate() {
        *flag = if *byte == 0 { 1 << (index / 8) } else { 0 };
    }
    let words = flags.chunks_exact(8).map(|word| word.first_chunk().copied().unwrap_or([0; 8]));
    let matrix = words.fold(0, |matrix, word| matrix | u64::from_le_bytes(word));
    // Long values have many steps without any.
    if matrix == 0 { 0 } else { transpose(matrix) }
}

/// Turns columns into rows in a matrix of eight by eight bits: swaps ever larger blocks across
/// the diagonal, single bits first.
#[cfg(any(test, not(feature = "simd")))]
#[inline]
fn transpose(matrix: u64) -> u64 {
    let swap = |matrix: u64, distance: u32, upper: u64| {
        let changed = (matrix ^ matrix >> distance) & upper;
        matrix ^ changed ^ changed << distance
    };
    let matrix = swap(matrix, 7, 0x00aa_00aa_00aa_00aa);
    let matrix = swap(matrix, 14, 0x0000_cccc_0000_cccc);
    swap(matrix, 28, 0x0000_0000_f0f0_f0f0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(step: &[u8; STEP]) {
        let expected = (0..STEP).fold(0, |mask, at| mask | u64::from(step[at] == 0) << at);
        assert_eq!(portable(step), expected, "{step:?}");
        assert_eq!(nul_mask(step), expected, "{step:?}");
    }

    #[test]
    fn a_nul_in_each_place_and_everywhere_else() {
        for at in 0..STEP {
            check(&core::array::from_fn(|index| u8::from(index != at)));
            check(&core::array::from_fn(|index| u8::from(index == at)));
        }
        check(&[0; STEP]);
        check(&[1; STEP]);
    }

    #[test]
    fn every_byte_value_beside_every_other() {
        for first in 0..=255 {
            for second in 0..=255 {
                check(&core::array::from_fn(|at| match at % 5 {
                    0 => first,
                    1 | 3 => second,
                    2 => 0,
                    _ => 0x80,
                }));
            }
        }
    }
}
