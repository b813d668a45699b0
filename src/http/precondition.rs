//! Changing what one has seen and nothing else: `ETag` and `If-Match` (RFC 9110).
//!
//! An entity tag here is a revision in quotes. Whatever else a client sends is a tag that nothing has; what is no tag at
//! all is a bad request. The comparison is the strong one: a weak tag never matches. What does not depend on the
//! representation counts first: something that is not there is 404, whichever tag was sent.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::problem::Problem;
use crate::commands::Expected;

const FIELD: &str = "If-Match";
const MALFORMED: &str = "must be a list of entity tags, such as \"3\", or *";

/// The entity tag of a revision.
pub(super) fn tag(revision: u32) -> String {
    format!("\"{revision}\"")
}

/// The header that says it.
pub(super) fn etag(revision: u32) -> (HeaderName, String) {
    (header::ETAG, tag(revision))
}

/// The revision that the client has seen; any where it does not say.
pub(super) struct IfMatch(Expected);

/// The same, where it has to say.
pub(super) struct MustMatch(Expected);

impl AsRef<Expected> for IfMatch {
    fn as_ref(&self) -> &Expected {
        &self.0
    }
}

impl AsRef<Expected> for MustMatch {
    fn as_ref(&self) -> &Expected {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(expected(&parts.headers)?.unwrap_or(Expected::Any)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MustMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        expected(&parts.headers)?.map(Self).ok_or_else(Problem::precondition_required)
    }
}

/// What the client expects, if it says so; several headers are one list.
fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let values: Vec<&[u8]> = headers.get_all(header::IF_MATCH).iter().map(|value| value.as_bytes()).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let parsed = parse(&values.join(&b','));
    parsed.map(Some).ok_or_else(|| Problem::invalid_field(FIELD, MALFORMED))
}

/// `*`, or entity tags with commas between them. Empty members are passed over; a list of nothing else is malformed.
fn parse(value: &[u8]) -> Option<Expected> {
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return Some(Expected::Any);
    }
    let (mut tags, mut revisions) = (0_u32, Vec::new());
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => break,
            [b',', after @ ..] => rest = after,
            _ => {
                let Tag { weak, opaque, after } = Tag::first(rest)?;
                rest = after.trim_ascii_start();
                if !matches!(rest, [] | [b',', ..]) {
                    return None;
                }
                tags += 1;
                revisions.extend(revision(opaque).filter(|_| !weak));
            }
        }
    }
    (tags > 0).then_some(Expected::OneOf(revisions))
}

/// An entity tag at the beginning of some text.
struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
    after: &'a [u8],
}

impl<'a> Tag<'a> {
    /// `None` where the text does not begin with one.
    fn first(text: &'a [u8]) -> Option<Self> {
        let (weak, text) = text.strip_prefix(b"W/").map_or((false, text), |text| (true, text));
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|byte| *byte == b'"')?;
        let (opaque, after) = (&text[..end], &text[end + 1..]);
        let may_stand_in_one = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff);
        opaque.iter().all(may_stand_in_one).then_some(Self { weak, opaque, after })
    }
}

/// The revision whose tag holds that. Tags are compared letter by letter: "07" is not the tag of 7.
fn revision(opaque: &[u8]) -> Option<u32> {
    let revision: u32 = std::str::from_utf8(opaque).ok()?.parse().ok()?;
    (revision.to_string().as_bytes() == opaque).then_some(revision)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sent(values: &[&[u8]]) -> Result<Option<Expected>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_bytes(value).unwrap());
        }
        expected(&headers)
    }

    #[test]
    fn tags_are_told_apart() {
        let one_of = |revisions: &[u32]| Some(Expected::OneOf(revisions.to_vec()));
        let cases: [(&[&[u8]], Option<Expected>); 15] = [
            (&[], None),
            (&[b"*"], Some(Expected::Any)),
            (&[b" * "], Some(Expected::Any)),
            (&[b"\"3\""], one_of(&[3])),
            (&[b"\"3\", \"4\"\t,\"5\""], one_of(&[3, 4, 5])),
            (&[b"\"3\"", b"\"4\""], one_of(&[3, 4])),
            (&[b",, \"3\" ,,"], one_of(&[3])),
            (&[b"W/\"3\""], one_of(&[])),
            (&[b"W/\"3\", \"4\""], one_of(&[4])),
            (&[b"\"\""], one_of(&[])),
            (&[b"\"03\", \"+3\", \"3.0\", \"4294967296\""], one_of(&[])),
            (&[b"\"a,b\", \"3\""], one_of(&[3])),
            (&[b"\"*\""], one_of(&[])),
            (&[b"\"\xe9\""], one_of(&[])),
            (&[b"\"4294967295\""], one_of(&[u32::MAX])),
        ];
        for (values, expected) in cases {
            assert_eq!(sent(values).unwrap(), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_no_tag_is_named() {
        let bad: [&[&[u8]]; 14] = [
            &[b""],
            &[b" , ,"],
            &[b"3"],
            &[b"\"3"],
            &[b"3\""],
            &[b"\"3\" \"4\""],
            &[b"\"3\"x"],
            &[b"w/\"3\""],
            &[b"W/ \"3\""],
            &[b"W/3"],
            &[b"\"a b\""],
            &[b"*, \"3\""],
            &[b"\"3\"", b"*"],
            &[b"**"],
        ];
        for values in bad {
            let problem = sent(values).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.errors[0].field.as_str()), (400, "If-Match"), "{values:?}");
        }
    }

    #[test]
    fn a_tag_that_was_handed_out_is_understood() {
        for revision in [1, 17, u32::MAX] {
            let expected = sent(&[tag(revision).as_bytes()]).unwrap();
            assert_eq!(expected, Some(Expected::OneOf(vec![revision])));
        }
    }
}
