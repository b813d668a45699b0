//! How large the items of a part are, by which the workbook reader would fill its memory: a stretch of text, a tag, a
//! comment, and all that it collects between a tag and its end, as the runs of a text.
//!
//! It follows the text as the reader does, so that nothing in a text, a quoted attribute or a comment looks like the
//! end of something. What spreadsheet programs never write and readers disagree about is refused. It knows no zip.

use std::collections::HashSet;

use super::error::WorkbookError;

/// A cell holds at most 32,767 characters.
const MAX_ITEM_BYTES: u64 = 1 << 20;
/// So much of a tag is looked at.
const MAX_TAG_BYTES: usize = 4096;
/// Formats have at most 255 characters, names of fonts 31.
const MAX_STYLE_ATTRIBUTE_BYTES: u64 = 1024;
/// Each takes its font, its fill, its borders and its format once more.
const MAX_FORMATS: usize = 1 << 16;
const MAX_SHEETS: usize = 256;
/// Between such a tag and its end the reader collects what it finds.
const COLLECTED: [&[u8]; 7] = [b"si", b"is", b"c", b"v", b"f", b"t", b"definedName"];
const COMMENT: &[u8] = b"!--";
const CDATA: &[u8] = b"![CDATA[";

/// What the text is in the middle of.
#[derive(Clone, Copy)]
enum At {
    Text,
    /// Behind a `<`: it is not yet known of what.
    Markup,
    Tag,
    Quoted(u8),
    /// A comment (`-`) or CDATA (`]`), and how many such bytes came last.
    Until(u8, u32),
    /// A processing instruction, and whether a question mark came last.
    Instruction(bool),
}

/// A tag whose end has not come.
struct Open {
    name: Vec<u8>,
    from: u64,
}

/// A part, as far as it has come.
pub(super) struct Scan {
    at: At,
    position: u64,
    /// Where the present item began.
    item_from: u64,
    quoted_from: u64,
    /// What stands between `<` and `>`, its first bytes.
    tag: Vec<u8>,
    /// The last byte in a tag, outside quotes.
    last: u8,
    open: [Option<Open>; COLLECTED.len()],
    max_attribute: u64,
    formats: usize,
    sheets: usize,
    /// Which parts the sheets are, by the names the workbook has for them.
    referred: HashSet<Vec<u8>>,
}

fn too_large(what: String) -> WorkbookError {
    WorkbookError::TooLarge(what)
}

impl Scan {
    /// Of a part with that name, in small letters.
    pub(super) fn of(part: &str) -> Self {
        let is_styles = part.ends_with("styles.xml");
        Self {
            at: At::Text,
            position: 0,
            item_from: 0,
            quoted_from: 0,
            tag: Vec::new(),
            last: 0,
            open: [const { None }; COLLECTED.len()],
            max_attribute: if is_styles { MAX_STYLE_ATTRIBUTE_BYTES } else { MAX_ITEM_BYTES },
            formats: 0,
            sheets: 0,
            referred: HashSet::new(),
        }
    }

    /// Goes on with the next bytes.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<(), WorkbookError> {
        if self.position == 0
            && (chunk.starts_with(&[0xfe, 0xff]) || chunk.iter().take(4).any(|b| matches!(b, 0 | 0xff)))
        {
            return Err(WorkbookError::Unusual("a text that is not UTF-8"));
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let done = self.step(rest)?;
            self.position += done as u64;
            rest = &rest[done..];
            if matches!(self.at, At::Text) && done > 0 && self.last == b'>' {
                self.check()?;
                self.last = 0;
                self.item_from = self.position;
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), WorkbookError> {
        let collected = self.open.iter().flatten().map(|open| open.from).min().unwrap_or(self.item_from);
        if self.position - collected.min(self.item_from) > MAX_ITEM_BYTES {
            return Err(too_large(format!("a single item of more than {MAX_ITEM_BYTES} bytes")));
        }
        Ok(())
    }

    /// Takes at least one byte; answers how many.
    fn step(&mut self, rest: &[u8]) -> Result<usize, WorkbookError> {
        let first = rest[0];
        match self.at {
            At::Text => {
                let Some(text) = rest.iter().position(|byte| *byte == b'<') else { return Ok(rest.len()) };
                self.position += text as u64;
                self.check()?;
                self.item_from = self.position;
                self.position -= text as u64;
                self.tag.clear();
                self.at = At::Markup;
                Ok(text + 1)
            }
            At::Markup => self.markup(first),
            At::Tag => {
                let end = rest.iter().position(|byte| matches!(byte, b'>' | b'"' | b'\''));
                let inside = &rest[..end.unwrap_or(rest.len())];
                self.keep(inside);
                self.last = inside.last().copied().unwrap_or(self.last);
                match end.map(|end| rest[end]) {
                    None => return Ok(inside.len()),
                    Some(b'>') => self.end_tag()?,
                    Some(quote) => {
                        if self.tag.first() == Some(&b'/') {
                            return Err(WorkbookError::Unusual("a quote in the end of a tag"));
                        }
                        self.keep(&[quote]);
                        self.last = quote;
                        self.quoted_from = self.position + inside.len() as u64;
                        self.at = At::Quoted(quote);
                    }
                }
                Ok(inside.len() + 1)
            }
            At::Quoted(quote) => {
                let end = rest.iter().position(|byte| *byte == quote);
                let inside = end.map_or(rest.len(), |end| end + 1);
                self.keep(&rest[..inside]);
                if self.position + inside as u64 - self.quoted_from > self.max_attribute + 2 {
                    return Err(too_large(format!("an attribute of more than {} bytes", self.max_attribute)));
                }
                if end.is_some() {
                    self.at = At::Tag;
                }
                Ok(inside)
            }
            At::Until(byte, came) => {
                let came = if first == byte {
                    came.saturating_add(1)
                } else if first == b'>' && came >= 2 {
                    self.leave();
                    return Ok(1);
                } else {
                    0
                };
                self.at = At::Until(byte, came);
                Ok(1)
            }
            At::Instruction(true) if first == b'>' => {
                self.leave();
                Ok(1)
            }
            At::Instruction(_) => {
                self.at = At::Instruction(first == b'?');
                Ok(1)
            }
        }
    }

    fn leave(&mut self) {
        self.at = At::Text;
        self.last = b'>';
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_TAG_BYTES - self.tag.len();
        self.tag.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Finds out what begins with `<` and what has been kept of it.
    fn markup(&mut self, byte: u8) -> Result<usize, WorkbookError> {
        if self.tag.is_empty() && !matches!(byte, b'!' | b'?') {
            (self.at, self.last) = (At::Tag, 0);
            return Ok(0);
        }
        self.tag.push(byte);
        match self.tag.as_slice() {
            b"?" => {}
            b"?>" | b"!-->" | b"!---" => return Err(WorkbookError::Unusual("markup that ends as it begins")),
            [b'?', _] => self.at = At::Instruction(byte == b'?'),
            // One byte more than the beginning, for that one may not end it.
            tag if tag.len() == COMMENT.len() + 1 && tag.starts_with(COMMENT) => self.at = At::Until(b'-', 0),
            tag if tag == CDATA => self.at = At::Until(b']', 0),
            tag if COMMENT.starts_with(tag) || CDATA.starts_with(tag) => {}
            _ => return Err(WorkbookError::Unusual("a document type")),
        }
        Ok(1)
    }

    fn end_tag(&mut self) -> Result<(), WorkbookError> {
        let tag = std::mem::take(&mut self.tag);
        let is_end = tag.first() == Some(&b'/');
        let is_empty = !is_end && self.last == b'/';
        let name = if is_end { end_name(&tag[1..]) } else { begin_name(&tag, is_empty) };
        if name.len() >= MAX_TAG_BYTES - 1 {
            return Err(too_large(format!("a name of more than {MAX_TAG_BYTES} bytes")));
        }
        let local = local(name);
        if let Some(place) = COLLECTED.iter().position(|collected| *collected == local) {
            self.collected(place, name, is_end || is_empty)?;
        }
        if !is_end {
            self.begun(local, &tag)?;
        }
        self.tag = tag;
        self.leave();
        Ok(())
    }

    /// A tag between which and its end the reader collects; the first end of that name ends it, as for the reader.
    fn collected(&mut self, place: usize, name: &[u8], ends: bool) -> Result<(), WorkbookError> {
        match (&self.open[place], ends) {
            (Some(open), _) if open.name != name => return Err(WorkbookError::Unusual("tags of several name spaces")),
            (Some(_), true) => {
                self.check()?;
                self.open[place] = None;
            }
            (None, false) => self.open[place] = Some(Open { name: name.to_owned(), from: self.item_from }),
            (Some(_), false) | (None, true) => {}
        }
        Ok(())
    }

    fn begun(&mut self, local: &[u8], tag: &[u8]) -> Result<(), WorkbookError> {
        match local {
            b"xf" => self.formats += 1,
            b"sheet" => {
                self.sheets += 1;
                let id = attribute(tag, b"id")?;
                self.refer(id)?;
            }
            b"Relationship" => self.related(tag)?,
            _ => {}
        }
        if self.formats > MAX_FORMATS {
            return Err(too_large(format!("more than {MAX_FORMATS} cell formats")));
        }
        if self.sheets > MAX_SHEETS {
            return Err(too_large(format!("more than {MAX_SHEETS} sheets")));
        }
        Ok(())
    }

    /// Where the workbook and its sheets are: in parts of their own that are known for what they are.
    fn related(&mut self, tag: &[u8]) -> Result<(), WorkbookError> {
        let kind = attribute(tag, b"Type")?.unwrap_or_default();
        let is_sheet = kind.ends_with(b"/worksheet") || kind == b"worksheet";
        if !is_sheet && !kind.ends_with(b"/officeDocument") {
            return Ok(());
        }
        let target = attribute(tag, b"Target")?.unwrap_or_default().to_ascii_lowercase();
        let name = target.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
        if !name.ends_with(b".xml") {
            return Err(WorkbookError::Unusual("a sheet that is no .xml part"));
        }
        if is_sheet { self.refer(Some(name)) } else { Ok(()) }
    }

    fn refer(&mut self, name: Option<&[u8]>) -> Result<(), WorkbookError> {
        match name {
            Some(name) if name.contains(&b'&') || !self.referred.insert(name.to_owned()) => {
                Err(WorkbookError::Unusual("several sheets in one part"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A name without what stands before its first colon.
fn local(name: &[u8]) -> &[u8] {
    name.iter().position(|byte| *byte == b':').map_or(name, |colon| &name[colon + 1..])
}

/// What the reader takes for white space.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn begin_name(tag: &[u8], is_empty: bool) -> &[u8] {
    let name = &tag[..tag.iter().position(|byte| is_space(*byte)).unwrap_or(tag.len())];
    if is_empty && name.len() == tag.len() { name.strip_suffix(b"/").unwrap_or(name) } else { name }
}

fn end_name(name: &[u8]) -> &[u8] {
    &name[..name.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1)]
}

/// The value of an attribute, by its name without a prefix.
fn attribute<'t>(tag: &'t [u8], wanted: &[u8]) -> Result<Option<&'t [u8]>, WorkbookError> {
    if tag.len() == MAX_TAG_BYTES {
        return Err(too_large(format!("a tag of more than {MAX_TAG_BYTES} bytes")));
    }
    let mut rest = tag;
    let mut found = None;
    while let Some(quote) = rest.iter().position(|byte| matches!(byte, b'"' | b'\'')) {
        let before = rest[..quote].trim_ascii_end();
        let before = before.strip_suffix(b"=").unwrap_or(before).trim_ascii_end();
        let name = before.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
        let value = &rest[quote + 1..];
        let Some(end) = value.iter().position(|byte| *byte == rest[quote]) else { break };
        if local(name) == wanted && found.replace(&value[..end]).is_some() {
            return Err(WorkbookError::Unusual("an attribute twice"));
        }
        rest = &value[end + 1..];
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
