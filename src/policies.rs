//! The policies that this process knows: those that come with it, those of `POLICIES_DIR`, and which of them is in force.
//!
//! All are read and validated at the start, so that a file that is wrong stops it with one line, and none is read later.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aggregates::policy::{Policy, PolicyError, PolicyRef};
use projections::decisions::last_digest;
use sqlx::PgPool;

/// The largest file that is looked at, in bytes; a policy is about one kilobyte.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Policies of the directory, at most.
const MAX_FILES: usize = 1000;
const EXTENSION: &str = "toml";

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// A shipped policy cannot be read.
    #[error("a shipped policy is not valid: {}", .0.in_one_line())]
    Shipped(PolicyError),
    /// The directory cannot be read.
    #[error("cannot read the policies in {}", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read the policy {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no policy.
    #[error("the policy {} is not valid: {}", file.display(), error.in_one_line())]
    Invalid {
        /// Which.
        file: PathBuf,
        /// The field, and what is wrong with it.
        error: PolicyError,
    },
    /// A file is too large to be a policy.
    #[error("the policy {} is not valid: it is larger than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// There are too many files.
    #[error("there are more than {MAX_FILES} policies in {}", .0.display())]
    TooMany(PathBuf),
    /// Two files have the same id.
    #[error("the policy {} is not valid: id: {id} is the id of {} too", file.display(), other.display())]
    SameId {
        /// The id.
        id: String,
        /// The later file.
        file: PathBuf,
        /// The earlier one.
        other: PathBuf,
    },
    /// A file has the id of a shipped policy, and another text.
    #[error(
        "the policy {} is not valid: id: {id} comes with the product, with another text; a changed policy needs an id \
         of its own",
        file.display()
    )]
    ShippedId {
        /// The id.
        id: String,
        /// The file.
        file: PathBuf,
    },
    /// It is no longer what decisions were taken under.
    #[error(
        "the policy {id} has been changed since decisions were taken under it; give the changed one an id of its own"
    )]
    Changed {
        /// The id.
        id: String,
    },
    /// It could not be told whether it has been changed.
    #[error("the decisions could not be read")]
    Decisions(#[from] sqlx::Error),
    /// There is no such policy.
    #[error("there is no policy '{wanted}'; there are: {known}")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
}

/// A policy of the catalogue.
#[derive(Debug, Clone)]
pub struct KnownPolicy {
    /// The policy itself.
    pub policy: Arc<Policy>,
    /// Whether it comes with the product.
    pub shipped: bool,
}

/// The catalogue.
#[derive(Debug, Clone)]
pub struct Policies {
    /// The shipped ones, then those of the directory, by file name.
    all: Vec<KnownPolicy>,
    in_force: Arc<Policy>,
}

impl Policies {
    /// Reads and validates all of them; decisions are taken under the one with the id `in_force`.
    ///
    /// # Errors
    /// [`PoliciesError`], naming file and field.
    pub fn load(directory: Option<&Path>, in_force: &str) -> Result<Self, PoliciesError> {
        let shipped = Policy::shipped().map_err(PoliciesError::Shipped)?;
        let mut all: Vec<KnownPolicy> = shipped.into_iter().map(|policy| known(policy, true)).collect();
        if let Some(directory) = directory {
            let further = read_directory(directory, &all)?;
            all.extend(further);
        }
        let in_force = find(&all, in_force).ok_or_else(|| unknown(&all, in_force))?.policy.clone();
        Ok(Self { all, in_force })
    }

    /// The policy in force must be the one that decisions of its id were taken under: taken again under another text they
    /// would come out otherwise, and nobody could tell why.
    ///
    /// # Errors
    /// [`PoliciesError::Changed`], or when the database does not answer.
    pub async fn must_be_unchanged(&self, read_models: &PgPool) -> Result<(), PoliciesError> {
        let PolicyRef { id, digest } = self.in_force.reference();
        match last_digest(read_models, id).await? {
            Some(taken_under) if taken_under != *digest => Err(PoliciesError::Changed { id: id.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    /// The one that decisions are taken under.
    #[must_use]
    pub const fn in_force(&self) -> &Arc<Policy> {
        &self.in_force
    }

    /// All of them: the shipped ones first.
    #[must_use]
    pub fn all(&self) -> &[KnownPolicy] {
        &self.all
    }

    /// The policy with that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&KnownPolicy> {
        find(&self.all, id)
    }

    /// The policy with that id.
    ///
    /// # Errors
    /// [`PoliciesError::Unknown`], naming those that there are.
    pub fn get(&self, id: &str) -> Result<&Arc<Policy>, PoliciesError> {
        self.find(id).map(|known| &known.policy).ok_or_else(|| unknown(&self.all, id))
    }

    /// All of them by value, for whoever takes recorded decisions again.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Policy> {
        self.all.iter().map(|known| Policy::clone(&known.policy)).collect()
    }
}

fn known(policy: Policy, shipped: bool) -> KnownPolicy {
    KnownPolicy { policy: Arc::new(policy), shipped }
}

fn find<'a>(all: &'a [KnownPolicy], id: &str) -> Option<&'a KnownPolicy> {
    all.iter().find(|known| known.policy.reference().id == id)
}

fn unknown(all: &[KnownPolicy], wanted: &str) -> PoliciesError {
    let known = all.iter().map(|known| known.policy.reference().id.as_str()).collect::<Vec<_>>().join(", ");
    PoliciesError::Unknown { wanted: wanted.to_owned(), known }
}

/// The policy that a file holds.
///
/// # Errors
/// [`PoliciesError`], naming file and field.
pub fn read_file(file: &Path) -> Result<Policy, PoliciesError> {
    let failed = |source| PoliciesError::File { file: file.to_owned(), source };
    let mut text = String::new();
    File::open(file).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > MAX_FILE_BYTES) {
        return Err(PoliciesError::TooLarge(file.to_owned()));
    }
    Policy::parse(&text).map_err(|error| PoliciesError::Invalid { file: file.to_owned(), error })
}

/// The policies of a directory that are not among the shipped ones. A copy of a shipped one is no other policy.
fn read_directory(directory: &Path, shipped: &[KnownPolicy]) -> Result<Vec<KnownPolicy>, PoliciesError> {
    let mut files: HashMap<String, PathBuf> = HashMap::new();
    let mut found = Vec::new();
    for file in policy_files(directory)? {
        let policy = read_file(&file)?;
        let id = policy.reference().id.clone();
        match find(shipped, &id) {
            Some(shipped) if shipped.policy.reference() == policy.reference() => continue,
            Some(_) => return Err(PoliciesError::ShippedId { id, file }),
            None => {}
        }
        if let Some(other) = files.insert(id.clone(), file.clone()) {
            return Err(PoliciesError::SameId { id, file, other });
        }
        found.push(known(policy, false));
    }
    Ok(found)
}

/// The directory's TOML files, by name.
fn policy_files(directory: &Path) -> Result<Vec<PathBuf>, PoliciesError> {
    let failed = |source| PoliciesError::Directory { directory: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|extension| extension == EXTENSION) && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(PoliciesError::TooMany(directory.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD_1: &str = include_str!("../policies/standard-1.toml");

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn named(id: &str) -> String {
        STANDARD_1.replace("id = \"standard-1\"", &format!("id = \"{id}\""))
    }

    fn ids(policies: &Policies) -> Vec<&str> {
        policies.all().iter().map(|known| known.policy.reference().id.as_str()).collect()
    }

    /// The error with its causes; the directory's own name left out.
    fn refused(directory: &Path, in_force: &str) -> String {
        let error = Policies::load(Some(directory), in_force).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let line = format!("{error}{cause}").replace(&format!("{}", directory.display()), "DIR");
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn without_a_directory_there_are_the_shipped_ones() {
        let policies = Policies::load(None, "literal-1").unwrap();
        assert_eq!(ids(&policies), ["standard-1", "literal-1"]);
        assert_eq!(policies.in_force().reference().id, "literal-1");
        assert!(policies.all().iter().all(|known| known.shipped));
        let unknown = Policies::load(None, "standard-2").unwrap_err().to_string();
        assert_eq!(unknown, "there is no policy 'standard-2'; there are: standard-1, literal-1");
    }

    #[test]
    fn those_of_the_directory_come_behind_by_name() {
        let (b, a) = (named("strict-2"), named("strict-1"));
        let files =
            [("b.toml", b.as_str()), ("a.toml", &a), ("copy.toml", STANDARD_1), ("notes.txt", "x"), (".c.toml", "x")];
        let directory = directory(&files);
        std::fs::create_dir(directory.path().join("old.toml")).unwrap();
        let policies = Policies::load(Some(directory.path()), "strict-2").unwrap();
        assert_eq!(ids(&policies), ["standard-1", "literal-1", "strict-1", "strict-2"]);
        assert_eq!(policies.in_force().reference().id, "strict-2");
        assert!(!policies.find("strict-1").unwrap().shipped && policies.find("standard-1").unwrap().shipped);
        assert_eq!(policies.to_vec().len(), 4);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_with_file_and_field() {
        let wrong = |text: &str| refused(directory(&[("new.toml", text)]).path(), "standard-1");
        let new = named("new-1");
        let edit = |from: &str, to: &str| {
            assert!(new.contains(from));
            wrong(&new.replace(from, to))
        };
        assert_eq!(
            edit("on_time = 40", "on_time = 30"),
            "the policy DIR/new.toml is not valid: weights: must sum to 100, not 90"
        );
        assert_eq!(
            edit("score_above = 30", "score_above = 60"),
            "the policy DIR/new.toml is not valid: floors: must fall in score and rise in rate"
        );
        assert_eq!(
            edit("instalments_percent_of_income = 50", "instalments_percent_of_income = 120"),
            "the policy DIR/new.toml is not valid: caps.instalments_percent_of_income: must be from 0 to 100, not 120"
        );
        let unknown = edit("without_loans = 50", "with_loans = 50");
        assert!(
            unknown.starts_with("the policy DIR/new.toml is not valid: line 17, score.with_loans: unknown"),
            "{unknown}"
        );
        assert!(wrong("weights").starts_with("the policy DIR/new.toml is not valid: line 1: "), "{}", wrong("weights"));
        assert_eq!(wrong(&" ".repeat(70_000)), "the policy DIR/new.toml is not valid: it is larger than 65536 bytes");
        assert!(wrong(&format!("{STANDARD_1}\n")).contains("id: standard-1 comes with the product, with another text"));
    }

    #[test]
    fn an_id_stands_for_one_policy() {
        let twice = directory(&[("a.toml", &named("new-1")), ("b.toml", &named("new-1"))]);
        let expected = "the policy DIR/b.toml is not valid: id: new-1 is the id of DIR/a.toml too";
        assert_eq!(refused(twice.path(), "standard-1"), expected);
        let none = directory(&[]);
        let missing = refused(&none.path().join("nowhere"), "standard-1");
        assert!(missing.starts_with("cannot read the policies in DIR: No such file"), "{missing}");
        std::fs::write(none.path().join("latin.toml"), [0xff, 0xfe]).unwrap();
        let text = refused(none.path(), "standard-1");
        assert!(text.starts_with("cannot read the policy DIR/latin.toml: "), "{text}");
    }
}
