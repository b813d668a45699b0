//! Where a workbook's bytes are: in a file of somebody's, or in one that was opened here and has no name any more.

use std::fs::File;
use std::io::{ErrorKind, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::WorkbookError;

/// A workbook's file, and what it is called in messages.
#[derive(Debug, Clone)]
pub struct Source {
    name: PathBuf,
    opened: Option<Arc<File>>,
}

impl Source {
    /// A file that is open already, under the name it came with. It has one place to read at, so it is read by one at
    /// a time.
    #[must_use]
    pub fn opened(name: &str, file: File) -> Self {
        Self { name: PathBuf::from(name), opened: Some(Arc::new(file)) }
    }

    /// Its path, or the name it came with.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The file, at its beginning.
    pub(super) fn open(&self) -> Result<File, WorkbookError> {
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
        Self { name: path.to_owned(), opened: None }
    }
}

impl From<PathBuf> for Source {
    fn from(name: PathBuf) -> Self {
        Self { name, opened: None }
    }
}

pub(super) fn unreadable(error: std::io::Error) -> WorkbookError {
    if error.kind() == ErrorKind::NotFound { WorkbookError::NotFound } else { WorkbookError::Unreadable(error) }
}
