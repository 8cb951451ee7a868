//! Raw bytes of a line to a bounded `String` that is always valid UTF-8.
//!
//! It decides where a line that is too long is cut (at a character boundary)
//! and what stands for invalid bytes (U+FFFD). It takes nothing else away:
//! control characters are the engine's and the notifiers' business.

/// Text of a line, its `is_cut` and its `had_invalid_utf8`.
pub type Cleaned = (String, bool, bool);

/// Makes `bytes` a `String` of at most `line_bytes_max` bytes of the original.
///
/// Invalid UTF-8 becomes U+FFFD (three bytes each, so that the text may be
/// longer than the limit, at most threefold).
pub fn clean(bytes: &[u8], line_bytes_max: usize) -> Cleaned {
    let is_cut = bytes.len() > line_bytes_max;
    let kept = if is_cut { &bytes[..boundary(bytes, line_bytes_max)] } else { bytes };
    match std::str::from_utf8(kept) {
        Ok(text) => (text.to_owned(), is_cut, false),
        Err(_) => (String::from_utf8_lossy(kept).into_owned(), is_cut, true),
    }
}

/// Takes a carriage return off the end, which stands before a `\n` on Windows
/// and in the output of terminals.
pub fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The same, and the line feeds that some messages end in.
pub fn without_ends(text: &[u8]) -> &[u8] {
    let feeds = text.iter().rev().take_while(|byte| **byte == b'\n').count();
    without_return(&text[..text.len() - feeds])
}

/// Takes the half of a character off the end of a text that was cut there.
pub fn without_half(text: &[u8]) -> &[u8] {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => &text[..error.valid_up_to()],
        _ => text,
    }
}

/// The last character boundary at or before `at`. In bytes that are no UTF-8
/// it gives up after the longest character and cuts where it was told.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let is_inside = |i: usize| bytes.get(i).is_some_and(|b| b & 0xC0 == 0x80);
    (0..4).filter_map(|back| at.checked_sub(back)).find(|&i| !is_inside(i)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(clean("aé".as_bytes(), 2), ("a".to_owned(), true, false));
        assert_eq!(clean("aé".as_bytes(), 3), ("aé".to_owned(), false, false));
        assert_eq!(clean("🔧🔧".as_bytes(), 7), ("🔧".to_owned(), true, false));
        assert_eq!(clean(b"abc", 0), (String::new(), true, false));
    }

    #[test]
    fn invalid_bytes_are_replaced_and_said() {
        assert_eq!(clean(b"a\xffb", 10), ("a\u{FFFD}b".to_owned(), false, true));
        assert_eq!(clean(&[0x80; 9], 5).0.chars().count(), 5);
    }
}
