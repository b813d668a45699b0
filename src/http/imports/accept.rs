//! Which of two content types a client would rather have (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

/// Thousandths: the weight of a range that says none.
const FULL: u16 = 1000;

/// Whether CSV is wanted, and wanted more than JSON.
pub(super) fn prefers_csv(headers: &HeaderMap) -> bool {
    let ranges: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    let csv = weight(&ranges, "text", "csv");
    csv > 0 && csv > weight(&ranges, "application", "json")
}

/// The weight of the most specific range that the type falls under.
fn weight(ranges: &[&str], kind: &str, subtype: &str) -> u16 {
    let mut found = (0, 0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specific = match essence.split_once('/') {
            Some((k, s)) if k == kind && s == subtype => 3,
            Some((k, "*")) if k == kind => 2,
            Some(("*", "*")) => 1,
            Some(_) | None => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        if specific > found.0 {
            found = (specific, quality.map_or(FULL, thousandths));
        }
    }
    found.1
}

/// `0.5` as 500; what is no weight counts as none.
fn thousandths(quality: &str) -> u16 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u16>()) {
        ("0", Ok(fraction)) => fraction,
        ("1", Ok(_)) => FULL,
        (_, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn csv_is_given_to_those_who_would_rather_have_it() {
        let cases = [
            ("text/csv", true),
            ("TEXT/CSV; charset=utf-8", true),
            ("text/*", true),
            ("application/json;q=0.2, text/csv;q=0.9", true),
            ("text/csv, */*;q=0.1", true),
            ("application/json", false),
            ("*/*", false),
            ("text/csv;q=0", false),
            ("text/csv;q=0.3, application/json", false),
            ("text/csv, application/json", false),
            ("text/html", false),
            ("nonsense", false),
            ("text/csv;q=many", false),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_csv(&headers), expected, "{accept}");
        }
        assert!(!prefers_csv(&HeaderMap::new()));
    }
}
