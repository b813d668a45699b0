//! Whether a file is a zip archive that is safe to hand to the workbook reader.
//!
//! The reader holds the shared strings and styles in memory, trusts the number of strings that the file claims, and
//! buffers one XML item at a time. A small crafted file could so take all memory. What a zip directory or a table
//! says of its own size is not trusted: every part is unpacked once, to nowhere, and counted; `scan` measures its items.
//! It knows nothing of what the sheets mean.

use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::WorkbookError;
use super::scan::Scan;

const MAX_PARTS: usize = 10_000;
/// All sheets together, unpacked: far above a million rows of thirty columns.
const MAX_SHEET_BYTES: u64 = 4 << 30;
/// Everything else together, unpacked: shared strings, styles, pictures.
const MAX_OTHER_BYTES: u64 = 256 << 20;
/// Sheets shrink to a tenth or a fiftieth; bombs to a thousandth.
const MAX_RATIO: u64 = 250;
/// Below this size the ratio says nothing.
const RATIO_MATTERS_BYTES: u64 = 16 << 20;
/// Styles; a workbook with all the formats that there can be has a third of it.
const MAX_STYLE_BYTES: u64 = 8 << 20;
/// Shared strings: eight columns of a million different texts. Each takes 24 bytes beside its text.
const MAX_STRINGS: u64 = 8_000_000;

const CHUNK_BYTES: usize = 64 << 10;
/// The tag of a string, beside its namespace's prefix.
const STRING_TAG: &[u8] = b"si";
/// The attribute for whose value the reader sets memory aside.
const COUNT_ATTRIBUTE: &[u8] = b"uniqueCount";
/// How far behind its name the attribute's value must end; how long a tag's name may be.
const WINDOW_BYTES: usize = 64;

/// Unpacks every part once and refuses what would take too much memory.
pub(super) fn check(file: impl Read + Seek) -> Result<(), WorkbookError> {
    let mut zip = ZipArchive::new(file).map_err(refused)?;
    if zip.len() > MAX_PARTS {
        return Err(WorkbookError::TooLarge(format!("more than {MAX_PARTS} parts")));
    }
    let (mut sheet_bytes, mut other_bytes) = (0, 0);
    for index in 0..zip.len() {
        let part = zip.by_index(index).map_err(refused)?;
        let name = part.name().map_err(refused)?.to_ascii_lowercase();
        let packed = part.compressed_size();
        let is_styles = name.ends_with("styles.xml");
        let (total, limit) = if name.contains("worksheets/") {
            (&mut sheet_bytes, MAX_SHEET_BYTES)
        } else {
            (&mut other_bytes, MAX_OTHER_BYTES)
        };
        let mut strings = name.ends_with("sharedstrings.xml").then(Strings::default);
        // Whatever the reader takes for a sheet has such a name; pictures are not text.
        let mut scan = (name.ends_with(".xml") || name.ends_with(".rels")).then(|| Scan::of(&name));
        let mut measure = Measure::default();
        unpack(part, |chunk| {
            measure.add(chunk);
            if is_styles && measure.bytes > MAX_STYLE_BYTES {
                return Err(WorkbookError::TooLarge(format!("more than {MAX_STYLE_BYTES} bytes of styles")));
            }
            if let Some(scan) = &mut scan {
                scan.add(chunk)?;
            }
            if let Some(strings) = &mut strings {
                strings.add(chunk);
            }
            measure.check(packed, limit.saturating_sub(*total))
        })?;
        *total += measure.bytes;
        if strings.is_some_and(|strings| strings.finish() > MAX_STRINGS) {
            return Err(WorkbookError::TooLarge(format!("more than {MAX_STRINGS} shared texts")));
        }
    }
    Ok(())
}

fn unpack(mut part: impl Read, mut each: impl FnMut(&[u8]) -> Result<(), WorkbookError>) -> Result<(), WorkbookError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match part.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&chunk[..length])?,
            Err(error) => return Err(WorkbookError::Archive(ZipError::Io(error))),
        }
    }
}

fn refused(error: ZipError) -> WorkbookError {
    if matches!(error, ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword) {
        WorkbookError::PasswordProtected
    } else {
        WorkbookError::Archive(error)
    }
}

/// What a part unpacks to, so far.
#[derive(Default)]
struct Measure {
    bytes: u64,
}

impl Measure {
    fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
    }

    fn check(&self, packed: u64, at_most: u64) -> Result<(), WorkbookError> {
        if self.bytes > at_most {
            let limits =
                format!("more than {MAX_SHEET_BYTES} bytes of sheets or {MAX_OTHER_BYTES} bytes of other parts");
            return Err(WorkbookError::TooLarge(limits));
        }
        if self.bytes > RATIO_MATTERS_BYTES && self.bytes > packed.saturating_mul(MAX_RATIO) {
            return Err(WorkbookError::TooLarge(format!("more than {MAX_RATIO} times its size")));
        }
        Ok(())
    }
}

/// How many strings the table of shared strings holds, and how many it claims to.
#[derive(Default)]
struct Strings {
    pending: Vec<u8>,
    held: u64,
    claimed: u64,
}

impl Strings {
    fn add(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
        self.scan(COUNT_ATTRIBUTE.len() + WINDOW_BYTES);
    }

    fn finish(mut self) -> u64 {
        self.scan(0);
        self.claimed.max(self.held)
    }

    /// Looks through what is pending, but for its last `keep` bytes, where a match may be cut off.
    fn scan(&mut self, keep: usize) {
        let done = self.pending.len().saturating_sub(keep);
        for start in 0..done {
            let text = &self.pending[start..];
            self.held += u64::from(opens_string(text));
            if let Some(after) = text.strip_prefix(COUNT_ATTRIBUTE) {
                let window = &after[..after.len().min(WINDOW_BYTES)];
                self.claimed = self.claimed.max(claimed(window).unwrap_or(0));
            }
        }
        self.pending.drain(..done);
    }
}

/// Whether a text starts with `<si` or `<prefix:si`; a tag with an endless name counts too.
fn opens_string(text: &[u8]) -> bool {
    let Some(tag) = text.strip_prefix(b"<") else { return false };
    let end = tag.iter().take(WINDOW_BYTES).position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
    end.is_none_or(|end| tag[..end].rsplit(|byte| *byte == b':').next() == Some(STRING_TAG))
}

/// The number in `="123"`, `None` where it is something else, the largest where it does not end.
fn claimed(after_name: &[u8]) -> Option<u64> {
    let unfinished = |rest: &[u8]| rest.is_empty().then_some(u64::MAX);
    let equals = after_name.trim_ascii_start();
    let Some(value) = equals.strip_prefix(b"=") else { return unfinished(equals) };
    let value = value.trim_ascii_start();
    let Some((b'"' | b'\'', digits)) = value.split_first() else { return unfinished(value) };
    let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
    if digits.is_empty() {
        return None;
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Some(number.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_count_is_found_wherever_the_chunks_are_cut() {
        let text = br#"<?xml version="1.0"?><sst count="9" uniqueCount = '123456789012'><si/></sst>"#;
        for cut in 0..text.len() {
            let mut strings = Strings::default();
            strings.add(&text[..cut]);
            strings.add(&text[cut..]);
            assert_eq!((strings.finish(), cut), (123_456_789_012, cut));
        }
    }

    #[test]
    fn strings_are_counted_whatever_is_claimed() {
        let mut strings = Strings::default();
        strings.add(b"<x:sst uniqueCount='1'><x:si/><x:si><x:t>si</x:t></x:si><x:si/><size/></x:sst>");
        assert_eq!(strings.finish(), 3);
    }

    #[test]
    fn a_claim_that_does_not_end_is_the_largest() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"=\"7\"", Some(7)),
            (b" of all", None),
            (b"=\"many\"", None),
            (b"      ", Some(u64::MAX)),
            (b"=     ", Some(u64::MAX)),
            (b"=\"99999999999999999999999\"", Some(u64::MAX)),
        ];
        for (text, expected) in cases {
            assert_eq!(claimed(text), expected);
        }
    }
}
