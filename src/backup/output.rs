//! Where an export is written: a file that has its name once it is whole, or the standard output.
//!
//! Until then it is called `FILE.partial`. What an earlier export left under that name is read again, piece by piece, and
//! kept as far as it is good, up to the last of its events.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::compression::Compression;
use super::export::ExportError;
use super::line::{FORMAT_VERSION, Header, Line, Trailer};

/// Where to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The standard output, lines as they are.
    Stdout,
    /// A file that is not there yet.
    File(PathBuf),
}

/// What is being written.
#[derive(Debug)]
pub(super) struct Output {
    place: Place,
    compression: Compression,
    digest: Sha256,
    lines: u64,
}

#[derive(Debug)]
enum Place {
    Stdout,
    File { file: File, partial: PathBuf, path: PathBuf },
}

/// What an earlier export has left.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Its header; `None` when there is nothing to go on with.
    pub(super) header: Option<Header>,
    /// How many events are there.
    pub(super) events: i64,
    /// The position of the last of them.
    pub(super) position: i64,
}

impl Output {
    /// Opens the destination for the export of a log, and takes up what is there.
    pub(super) fn open(destination: &Destination, log: &str) -> Result<(Self, Standing), ExportError> {
        let Destination::File(path) = destination else {
            let (place, compression) = (Place::Stdout, Compression::None);
            return Ok((Self { place, compression, digest: Sha256::new(), lines: 0 }, Standing::default()));
        };
        if path.exists() {
            return Err(ExportError::Exists(path.clone()));
        }
        let partial = partial_of(path);
        let failed = |source| ExportError::File { path: partial.clone(), source };
        // It holds names, phone numbers and incomes.
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&partial).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::Busy(partial)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let compression = Compression::of(path);
        let mut output = Self {
            place: Place::File {
                file: file.try_clone().map_err(failed)?,
                partial: partial.clone(),
                path: path.clone(),
            },
            compression,
            digest: Sha256::new(),
            lines: 0,
        };
        let (standing, kept) = output.take_up(BufReader::new(file));
        if let Some(header) = standing.header.as_ref().filter(|header| header.log != log) {
            return Err(ExportError::OtherLog { path: partial, log: header.log.clone() });
        }
        if let Place::File { file, .. } = &mut output.place {
            file.set_len(kept).and_then(|()| file.seek(SeekFrom::Start(kept))).map_err(failed)?;
        }
        Ok((output, standing))
    }

    /// Reads what is there; answers where in the file what is good of it ends.
    fn take_up(&mut self, mut file: BufReader<File>) -> (Standing, u64) {
        let (mut standing, mut kept) = (Standing::default(), 0);
        while let Some((piece, end)) = self.compression.next_piece(&mut file) {
            let Some(lines) = standing.with(&piece) else { break };
            self.digest.update(&piece);
            self.lines += lines;
            kept = end;
        }
        (standing, kept)
    }

    /// Writes lines, which can be read by themselves.
    pub(super) fn write(&mut self, lines: &[Line]) -> Result<(), ExportError> {
        let mut piece = Vec::new();
        for line in lines {
            piece.extend(line.encode().map_err(ExportError::Encode)?);
        }
        self.digest.update(&piece);
        self.lines += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.put(&piece)
    }

    fn put(&mut self, piece: &[u8]) -> Result<(), ExportError> {
        match &mut self.place {
            Place::Stdout => io::stdout().lock().write_all(piece).map_err(ExportError::Stdout),
            Place::File { file, partial, .. } => {
                let packed = self.compression.pack(piece);
                packed.and_then(|packed| file.write_all(&packed)).map_err(failed_at(partial))
            }
        }
    }

    /// Writes the trailer and gives the file its name, once all of it is on disk.
    pub(super) fn finish(mut self) -> Result<Trailer, ExportError> {
        let trailer = Trailer { lines: self.lines, sha256: format!("{:x}", self.digest.clone().finalize()) };
        let line = Line::Trailer(trailer.clone()).encode().map_err(ExportError::Encode)?;
        self.put(&line)?;
        match &self.place {
            Place::Stdout => io::stdout().lock().flush().map_err(ExportError::Stdout)?,
            Place::File { file, partial, path } => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = directory.unwrap_or_else(|| Path::new("."));
                file.sync_all()
                    .and_then(|()| fs::rename(partial, path))
                    .and_then(|()| File::open(directory)?.sync_all())
                    .map_err(failed_at(path))?;
            }
        }
        Ok(trailer)
    }
}

impl Standing {
    /// Goes on by a piece: the header alone, then events. Answers how many lines it has; `None` for any other.
    fn with(&mut self, piece: &[u8]) -> Option<u64> {
        let mut lines = 0;
        let mut next = Self { header: self.header.clone(), ..*self };
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            match Line::decode(line).ok()? {
                Line::Header(header) if next.header.is_none() && header.version == FORMAT_VERSION => {
                    next.header = Some(header);
                }
                Line::Event(event) if next.header.is_some() && event.position > next.position => {
                    next.events += 1;
                    next.position = event.position;
                }
                Line::Header(_)
                | Line::Event(_)
                | Line::ImportedRow(_)
                | Line::Answer(_)
                | Line::ApiKey(_)
                | Line::Counters(_)
                | Line::Trailer(_) => return None,
            }
            lines += 1;
        }
        *self = next;
        Some(lines)
    }
}

/// What a file is called until it is whole.
#[must_use]
fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn failed_at(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::File { path, source }
}
