//! Paths of requests, which rules allow by their beginning.
//!
//! A path that two servers may read in two ways is below no prefix: with what one of them makes of it, it might leave the one
//! that it begins with.
//!
//! | refused | for the sake of those who |
//! |---|---|
//! | `.`, `..`, other segments of dots, blanks and what is not seen; the same before `;`, `%3f` or `%23` | resolve them; cut off parameters, blanks or dots |
//! | an empty segment but the last, one that begins with `;` | merge slashes |
//! | `\`, `#`, blanks and control bytes as they are | take the first for a slash, and cut off the path at others |
//! | `%2f`, `%5c`, control bytes, encoded | decode before they split, or cut off |
//! | `%25`, and `%` without two hexadecimal digits (`%u002e`) | decode twice, or in another way |
//! | what is not UTF-8, raw or encoded: `%c0%ae`, `%e0%80%ae` | decode overlong sequences |
//! | characters that stand for `.`, `/`, `\`, `%`, `;`, `?` or `#`: `．`, `／`, `∕`, `…` | normalize, or convert to a smaller set |
//!
//! Other encoded bytes are compared as they are, never decoded: `/%63heck` is not below `/check`.

/// Returns whether whole segments of a path are a prefix.
pub(super) fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/")
}

/// Returns whether a path means the same to every server.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let mut segments = rest.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let is_end = is_last && segment.is_empty();
        if !is_end && !is_plain_segment(segment) {
            return false;
        }
    }
    true
}

/// Returns whether a segment is the name of something, and has no character that could be read in another way.
fn is_plain_segment(segment: &[u8]) -> bool {
    let mut bytes = Bytes(segment);
    let (mut has_parameters, mut has_name) = (false, false);
    loop {
        match bytes.next_char() {
            Ok(None) => return has_name,
            Ok(Some(c)) if c.is_control() || matches!(c, '/' | '\\' | '%') || stands_for_another(c) => return false,
            Ok(Some(';' | '?' | '#')) => has_parameters = true,
            Ok(Some(c)) => has_name |= !has_parameters && c != '.' && !is_blank(c),
            Err(Unreadable) => return false,
        }
    }
}

/// A segment's bytes, decoded as they are taken.
struct Bytes<'a>(&'a [u8]);

/// A byte that nobody should send, or no UTF-8.
struct Unreadable;

impl Bytes<'_> {
    fn next_char(&mut self) -> Result<Option<char>, Unreadable> {
        let Some(first) = self.next_byte()? else { return Ok(None) };
        let length = match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return Err(Unreadable),
        };
        let mut bytes = [first, 0, 0, 0];
        for byte in bytes.iter_mut().take(length).skip(1) {
            *byte = self.next_byte()?.ok_or(Unreadable)?;
        }
        // It refuses overlong sequences and surrogates.
        let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Unreadable)?;
        Ok(text.chars().next())
    }

    fn next_byte(&mut self) -> Result<Option<u8>, Unreadable> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (byte, rest) = match self.0 {
            [] => return Ok(None),
            [b'%', high, low, rest @ ..] => {
                let (high, low) = digit(*high).zip(digit(*low)).ok_or(Unreadable)?;
                (high << 4 | low, rest)
            }
            [0..=b' ' | b'#' | b'%' | 0x7f, ..] => return Err(Unreadable),
            [byte, rest @ ..] => (*byte, rest),
        };
        self.0 = rest;
        Ok(Some(byte))
    }
}

/// Returns whether a character is not seen at the end of a name, or nowhere; some file systems leave it out.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a character becomes one of `. / \ % ; ? #`, or contains one, when a text is normalized (NFKC, NFKD) or converted
/// to a code page of Windows; or ends a label of a name (UTS 46).
fn stands_for_another(c: char) -> bool {
    matches!(c, '\u{a5}' | '\u{37e}' | '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2047}'..='\u{2049}' | '\u{20a9}'
        | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{2215}' | '\u{2216}' | '\u{2488}'..='\u{249b}'
        | '\u{2571}' | '\u{2572}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' | '\u{3002}' | '\u{33c2}' | '\u{33c7}'
        | '\u{33d8}' | '\u{fe14}' | '\u{fe16}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' | '\u{fe54}' | '\u{fe56}'
        | '\u{fe5f}' | '\u{fe68}' | '\u{fe6a}' | '\u{ff01}'..='\u{ff5e}' | '\u{ff61}' | '\u{1f100}')
}

#[cfg(test)]
mod tests;
