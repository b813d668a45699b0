//! Fields of COPY's text format, a line each row with tabs between them.

/// A field without a value.
pub const NULL: &str = "\\N";

/// Appends a field's value.
pub fn push_field(text: &str, line: &mut String) {
    let mut rest = text;
    while let Some(place) = rest.find(['\\', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at(place);
        line.push_str(plain);
        line.push_str(match special.as_bytes().first() {
            Some(b'\t') => "\\t",
            Some(b'\n') => "\\n",
            Some(b'\r') => "\\r",
            _ => "\\\\",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copy_would_misread_is_escaped() {
        let mut line = String::from("0");
        push_field("a\tb\\c\nd\re", &mut line);
        push_field("", &mut line);
        push_field("\\", &mut line);
        assert_eq!(line, "0a\\tb\\\\c\\nd\\re\\\\");
    }
}
