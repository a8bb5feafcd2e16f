//! The little XML that is written here.

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
    fn what_is_escaped_comes_back() {
        let text = "a<b>&\"c\" d\r\n\té";
        let xml = format!("<r a=\"{0}\">{0}</r>", escape(text));
        let document = roxmltree::Document::parse(&xml).expect("XML");
        assert_eq!(document.root_element().text(), Some(text));
        assert_eq!(escape("\x00\x1b"), "\u{fffd}\u{fffd}");
    }
}
