//! What became of an upload or an import, as problems.

use axum::http::StatusCode;

use super::{Problem, log};
use crate::import::jobs::upload::UploadError;

impl Problem {
    /// An import that is to be stopped has ended: 409.
    #[must_use]
    pub fn import_ended(id: i64, state: &str) -> Self {
        let message = format!("names an import that has ended: it is {state}");
        let problem = Self::conflict("import-ended", "The import has ended", "import_id", &message);
        Self { detail: format!("Import {id} has ended: it is {state}."), ..problem }
    }

    /// Too many uploads, or too many imports that wait: 503.
    fn too_many_imports() -> Self {
        let detail = "Too many imports are being uploaded, or wait for an importer. Try again later.";
        let title = "Too many imports";
        Self { retry_after: Some(10), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-imports", title, detail) }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match &error {
            UploadError::TooMany => Self::too_many_imports(),
            UploadError::Expired => Self::too_slow(),
            UploadError::KeyTaken => Self::still_running(),
            UploadError::Store(_) => {
                log(&error);
                Self::unavailable()
            }
            UploadError::OutcomeUnknown(_) => {
                log(&error);
                Self::outcome_unknown()
            }
            UploadError::Render(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}
