//! Comparisons and searches of bytes, eight at a time.

/// Return `true` where bytes begin with others; for the few bytes of a name, a call of `memcmp` takes longer.
#[inline]
pub fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let length = start.len();
    let Some(head) = bytes.get(..length) else { return false };
    if !(8..64).contains(&length) {
        return head == start;
    }
    let mut at = 0;
    while at + 8 < length {
        if eight(head, at) != eight(start, at) {
            return false;
        }
        at += 8;
    }
    eight(head, length - 8) == eight(start, length - 8)
}

#[inline]
fn eight(bytes: &[u8], at: usize) -> u64 {
    let chunk = bytes.get(at..).and_then(<[u8]>::first_chunk);
    chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Return the place of the first byte that is not plain in a string: a quote, a backslash or a control character.
#[inline]
pub fn end_of_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    // Eight bytes at a time; see "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let is_control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special = is_control | is_zero(word ^ (ONES * 0x22)) | is_zero(word ^ (ONES * 0x5c));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..0x20)
    {
        at += 1;
    }
    at
}

/// Return the number of bytes that two texts have in common at their start.
#[inline]
pub fn common_start(one: &[u8], other: &[u8]) -> usize {
    /// Up to here, a comparison of words costs less than a call of `memcmp`.
    const NEAR: usize = 64;
    const BLOCK: usize = 256;
    let length = one.len().min(other.len());
    let (one, other) = (&one[..length], &other[..length]);
    let near = differs_at(one, other, 0, length.min(NEAR));
    if near < NEAR {
        return near;
    }
    if one == other {
        return length;
    }
    let mut at = NEAR;
    while let (Some(left), Some(right)) = (one.get(at..at + BLOCK), other.get(at..at + BLOCK))
        && left == right
    {
        at += BLOCK;
    }
    differs_at(one, other, at, length)
}

/// Return the place of the first difference between texts of one length, or the end of a part.
#[inline]
fn differs_at(one: &[u8], other: &[u8], mut at: usize, end: usize) -> usize {
    let word =
        |bytes: &[u8], at: usize| bytes.get(at..at + 8)?.first_chunk().copied().map(u64::from_le_bytes);
    while at + 8 <= end
        && let (Some(left), Some(right)) = (word(one, at), word(other, at))
    {
        if left != right {
            return at + ((left ^ right).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < end && one[at] == other[at] {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_start_with_a_difference_at_any_place_ends_there() {
        let text: Vec<u8> = (0..700_u32).map(|n| (n % 251) as u8).collect();
        for length in [0, 1, 7, 8, 63, 64, 65, 319, 320, 321, 700] {
            let text = &text[..length];
            assert_eq!(common_start(text, text), length);
            assert_eq!(common_start(text, &[text, b"more"].concat()), length);
            for at in 0..length {
                let mut other = text.to_vec();
                other[at] ^= 0x80;
                assert_eq!((common_start(text, &other), common_start(&other, text)), (at, at), "{length}");
                assert_eq!(common_start(text, &text[..at]), at, "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn begins_of_any_bytes_is_starts_with(bytes in "[ab]{0,80}", length in 0..90_usize, at in 0..90_usize) {
            let mut start = bytes.as_bytes()[..length.min(bytes.len())].to_vec();
            prop_assert!(begins(bytes.as_bytes(), &start));
            if let Some(byte) = start.get_mut(at) {
                *byte = b'c';
            }
            prop_assert_eq!(begins(bytes.as_bytes(), &start), bytes.as_bytes().starts_with(&start));
        }

        #[test]
        fn end_of_plain_of_any_bytes_is_the_first_special_one(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..9_usize) {
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let at = at.min(bytes.len());
            let expected = bytes[at..].iter().position(is_special).map_or(bytes.len(), |place| at + place);
            prop_assert_eq!(end_of_plain(&bytes, at), expected);
        }
    }
}
