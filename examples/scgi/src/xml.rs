//! The little XML that is written here, and how XML of servers that break its rules is read.

/// Whether XML 1.0 allows the character (section 2.2).
pub(crate) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The text with U+FFFD for each character that XML does not allow, also where it is a reference,
/// and how many there were. Without it, one control byte makes the whole text unreadable.
pub(crate) fn replace_forbidden(text: &str) -> (String, usize) {
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(len) = cdata_len(rest) {
            // References mean nothing in there.
            let (section, behind) = rest.split_at(len);
            let replaced = section.chars().map(|c| if is_allowed(c) { c } else { '\u{fffd}' });
            out.extend(replaced);
            count += section.chars().filter(|c| !is_allowed(*c)).count();
            rest = behind;
        } else if let Some(len) = forbidden_reference_len(rest) {
            out.push('\u{fffd}');
            count += 1;
            rest = &rest[len..];
        } else {
            out.push(if is_allowed(c) { c } else { '\u{fffd}' });
            count += usize::from(!is_allowed(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    (out, count)
}

/// The length of the CDATA section that the text begins with.
fn cdata_len(text: &str) -> Option<usize> {
    let behind = text.strip_prefix("<![CDATA[")?;
    let end = behind.find("]]>").map_or(behind.len(), |at| at + "]]>".len());
    Some(text.len() - behind.len() + end)
}

/// The length of the reference that the text begins with, if it is to a character that XML does
/// not allow or that does not exist.
fn forbidden_reference_len(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("&#")?;
    let end = digits.find(';')?;
    let number = match digits[..end].strip_prefix('x') {
        Some(hex) => to_number(hex, 16),
        None => to_number(&digits[..end], 10),
    };
    let is_fine = char::from_u32(number?).is_some_and(is_allowed);
    (!is_fine).then_some("&#".len() + end + 1)
}

/// `None` if it is not a number; one that is too large is not a character either.
fn to_number(text: &str, radix: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    is_number.then(|| u32::from_str_radix(text, radix).unwrap_or(u32::MAX))
}

/// `text` as the content of an element or, in quotes, of an attribute. Characters that XML 1.0
/// cannot hold become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_are_replaced() {
        for (text, expected, count) in [
            ("a\tb\r\n é", "a\tb\r\n é", 0),
            ("a\x07b\0\x1b", "a\u{fffd}b\u{fffd}\u{fffd}", 3),
            ("\u{fffe}\u{ffff}\u{10ffff}", "\u{fffd}\u{fffd}\u{10ffff}", 2),
            ("&#7;&#x1B;&#x1b;&#0;", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}", 4),
            ("&#xFFFE;&#xD800;&#x110000;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}", 4),
            ("&#65;&#x41;&#9;&amp;&#;&#x;&#-1;&#", "&#65;&#x41;&#9;&amp;&#;&#x;&#-1;&#", 0),
            ("<![CDATA[&#7;\x07]]>&#7;", "<![CDATA[&#7;\u{fffd}]]>\u{fffd}", 2),
            ("<![CDATA[&#7;", "<![CDATA[&#7;", 0),
        ] {
            assert_eq!(replace_forbidden(text), (expected.to_owned(), count), "{text:?}");
        }
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "a<b>&\"c\" d\r\n\té";
        let xml = format!("<r a=\"{0}\">{0}</r>", escape(text));
        let document = roxmltree::Document::parse(&xml).expect("XML");
        assert_eq!(document.root_element().text(), Some(text));
        assert_eq!(escape("\x00\x1b"), "\u{fffd}\u{fffd}");
    }
}
