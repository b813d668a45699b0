//! Where a workbook's bytes are: in a file of somebody's, or in one that was opened here and has no name any more.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::WorkbookError;

/// A workbook's file, and what it is called in messages.
#[derive(Debug, Clone)]
pub struct Source {
    name: PathBuf,
    opened: Option<Arc<File>>,
    stop: Arc<AtomicBool>,
}

/// Stops the reading of a workbook once it is dropped: whoever reads it meets an error within a block of the file.
#[derive(Debug)]
pub struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A workbook's file, until it is to be read no more.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Read for Opened {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("nobody wants it any more"));
        }
        self.file.read(to)
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

impl Source {
    /// A file that is open already, under the name it came with. It has one place to read at, so it is read by one at
    /// a time.
    #[must_use]
    pub fn opened(name: &str, file: File) -> Self {
        Self { name: PathBuf::from(name), opened: Some(Arc::new(file)), stop: Arc::default() }
    }

    /// The same, to be read until somebody wants no more of it.
    #[must_use]
    pub fn stoppable(&self) -> (Self, StopOnDrop) {
        let stop = Arc::new(AtomicBool::new(false));
        (Self { stop: Arc::clone(&stop), ..self.clone() }, StopOnDrop(stop))
    }

    /// Its path, or the name it came with.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The file, at its beginning.
    pub(super) fn open(&self) -> Result<Opened, WorkbookError> {
        let stop = Arc::clone(&self.stop);
        Ok(Opened { file: self.file()?, stop })
    }

    fn file(&self) -> Result<File, WorkbookError> {
        if let Some(opened) = &self.opened {
            let mut file = opened.try_clone().map_err(unreadable)?;
            file.rewind().map_err(unreadable)?;
            return Ok(file);
        }
        if self.name.metadata().map_err(unreadable)?.is_dir() {
            return Err(WorkbookError::Directory);
        }
        File::open(&self.name).map_err(unreadable)
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<PathBuf> for Source {
    fn from(name: PathBuf) -> Self {
        Self { name, opened: None, stop: Arc::default() }
    }
}

pub(super) fn unreadable(error: std::io::Error) -> WorkbookError {
    if error.kind() == ErrorKind::NotFound { WorkbookError::NotFound } else { WorkbookError::Unreadable(error) }
}
