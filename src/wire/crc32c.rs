//! CRC-32C, the checksum by Castagnoli's polynomial: short inputs, so bit by bit and without a table.

/// The polynomial, its bits in the order in which they are met.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of these bytes, one slice behind the other.
pub fn crc32c(slices: &[&[u8]]) -> u32 {
    let mut rest = u32::MAX;
    for byte in slices.iter().copied().flatten() {
        rest ^= u32::from(*byte);
        for _ in 0..u8::BITS {
            let is_odd = rest & 1 == 1;
            rest >>= 1;
            if is_odd {
                rest ^= POLYNOMIAL;
            }
        }
    }
    !rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_those_that_others_make() {
        let rising: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [
            (&b"123456789"[..], 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (b"", 0),
        ] {
            assert_eq!(crc32c(&[bytes]), sum, "{bytes:?}");
            let (first, second) = bytes.split_at(bytes.len() / 2);
            assert_eq!(crc32c(&[first, second]), sum);
        }
    }
}
