//! Reading an export, and finding whatever is not as it was written: lines that are damaged, missing, moved or added, and
//! an end that is not the end.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::compression::Compression;
use super::line::{FORMAT_VERSION, Header, Line, MAX_LINE_BYTES, Trailer};
use crate::store::beside::Counters;
use crate::store::numbers::{Untold, must_tell};

/// Why an export cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be read or unpacked.
    #[error("the export is damaged: it cannot be read behind line {line}")]
    Unreadable {
        /// Where.
        line: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("the file is not an export of a log")]
    NotAnExport,
    /// Another version of the product wrote it.
    #[error("the export is of format {0}, and this version of the product reads format {FORMAT_VERSION}")]
    Format(u32),
    /// A line cannot be read, or stands where it must not.
    #[error("the export is damaged: line {0} is not what must stand there")]
    Line(u64),
    /// It breaks off.
    #[error("the export is not whole: it breaks off behind line {0}")]
    BreaksOff(u64),
    /// There are other lines than were written.
    #[error("the export is damaged: it holds {found} {what}, and says that it holds {said}")]
    Count {
        /// Lines or events.
        what: &'static str,
        /// Found.
        found: i128,
        /// Written.
        said: i128,
    },
    /// The lines are not those that were written.
    #[error("the export is damaged: its checksum is not that of its lines")]
    Checksum,
    /// Something follows its last line.
    #[error("the export is damaged: something follows its last line")]
    Follows,
    /// It needs a newer build.
    #[error("it takes a newer version of the product to restore this")]
    Untold(#[from] Untold),
}

/// An export that is being read.
pub struct Reading {
    file: Box<dyn BufRead + Send>,
    header: Header,
    digest: Sha256,
    lines: u64,
    part: Part,
    events: i64,
    position: i64,
    counters: Counters,
    /// The first event that this build cannot tell a number from: nothing of the kind may be restored, but whatever is
    /// damaged is to be called damaged.
    untold: Option<Untold>,
}

/// Which lines come now; they stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Events,
    ImportedRows,
    Answers,
    ApiKeys,
    Counters,
    End,
}

/// What an export holds and ends in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The highest numbers that were given.
    pub counters: Counters,
    /// The last line.
    pub trailer: Trailer,
}

/// What comes next.
pub enum Next {
    /// A line between the header and the counters.
    Line(Line),
    /// Nothing, and all of it is as it was written.
    End(End),
}

impl Reading {
    /// Opens an export and reads its header.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let file = Compression::of(path).unpack(file).map_err(failed)?;
        let begun_at = chrono::DateTime::UNIX_EPOCH;
        let header = Header { version: 0, log: String::new(), head: 0, events: 0, begun_at };
        let mut reading = Self {
            file,
            header,
            digest: Sha256::new(),
            lines: 0,
            part: Part::Events,
            events: 0,
            position: 0,
            counters: Counters::default(),
            untold: None,
        };
        let Ok(first) = reading.take() else { return Err(ReadError::NotAnExport) };
        match version_of(&first) {
            Some(FORMAT_VERSION) => {}
            Some(other) => return Err(ReadError::Format(other)),
            None => return Err(ReadError::NotAnExport),
        }
        let Ok(Line::Header(header)) = Line::decode(&first) else { return Err(ReadError::Line(1)) };
        reading.header = header;
        reading.digest.update(&first);
        Ok(reading)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How many events were read.
    #[must_use]
    pub const fn events(&self) -> i64 {
        self.events
    }

    /// The next line, or the end. Only whoever has come to the end knows that nothing was changed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&mut self) -> Result<Next, ReadError> {
        loop {
            let bytes = self.take()?;
            let line = Line::decode(&bytes).map_err(|_| ReadError::Line(self.lines))?;
            if let Line::Trailer(trailer) = line {
                return self.end(trailer);
            }
            self.digest.update(&bytes);
            self.must_follow(&line)?;
            if let Line::Counters(counters) = line {
                self.counters = counters;
            } else {
                return Ok(Next::Line(line));
            }
        }
    }

    /// A line, with its newline.
    fn take(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        read.map_err(|source| self.unreadable(source))?;
        if !bytes.ends_with(b"\n") {
            return Err(ReadError::BreaksOff(self.lines));
        }
        self.lines += 1;
        Ok(bytes)
    }

    /// Packed files end in the middle of a piece when they break off.
    fn unreadable(&self, source: std::io::Error) -> ReadError {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            return ReadError::BreaksOff(self.lines);
        }
        ReadError::Unreadable { line: self.lines, source }
    }

    fn must_follow(&mut self, line: &Line) -> Result<(), ReadError> {
        let part = match line {
            Line::Event(event) => {
                if event.position <= self.position || event.position > self.header.head {
                    return Err(ReadError::Line(self.lines));
                }
                if let Err(untold) = must_tell(event) {
                    self.untold.get_or_insert(untold);
                }
                self.position = event.position;
                self.events += 1;
                Part::Events
            }
            Line::ImportedRow(_) => Part::ImportedRows,
            Line::Answer(_) => Part::Answers,
            Line::ApiKey(_) => Part::ApiKeys,
            Line::Counters(_) => Part::Counters,
            Line::Header(_) | Line::Trailer(_) => return Err(ReadError::Line(self.lines)),
        };
        let is_second_of_its_kind = part == Part::Counters && self.part == part;
        if part < self.part || is_second_of_its_kind {
            return Err(ReadError::Line(self.lines));
        }
        self.part = part;
        Ok(())
    }

    fn end(&mut self, trailer: Trailer) -> Result<Next, ReadError> {
        if self.part != Part::Counters {
            return Err(ReadError::Line(self.lines));
        }
        self.part = Part::End;
        let before = self.lines - 1;
        must_agree("lines", before.into(), trailer.lines.into())?;
        must_agree("events", self.events.into(), self.header.events.into())?;
        if format!("{:x}", self.digest.clone().finalize()) != trailer.sha256 {
            return Err(ReadError::Checksum);
        }
        // What unpacks checks its own checksums when it comes to the end.
        match self.file.fill_buf() {
            Ok([]) => {}
            Ok(_) => return Err(ReadError::Follows),
            Err(source) => return Err(self.unreadable(source)),
        }
        match self.untold {
            None => Ok(Next::End(End { counters: self.counters, trailer })),
            Some(untold) => Err(untold.into()),
        }
    }
}

fn must_agree(what: &'static str, found: i128, said: i128) -> Result<(), ReadError> {
    if found == said { Ok(()) } else { Err(ReadError::Count { what, found, said }) }
}

/// The format's version, if the line is a header of any.
fn version_of(line: &[u8]) -> Option<u32> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    line.get("header")?.get("version")?.as_u64()?.try_into().ok()
}
