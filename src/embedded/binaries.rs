//! Where the servers' programs are.
//!
//! Purpose: find PostgreSQL's server programs and `nats-server`, and pick the version that fits a cluster.
//!
//! Must not know: how they are run.
//!
//! Why: Debian keeps `postgres` and `initdb` off the PATH, per major version; Homebrew keeps them per formula.
//! A cluster can only be opened by the major version that made it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::EmbeddedError;

/// The oldest major version the store works with.
const OLDEST_MAJOR: u32 = 15;
/// Directories with a directory per version: parent, the version directory's prefix, and the way to the programs.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];
/// Where `nats-server` is looked for besides the PATH.
const NATS_DIRS: [&str; 5] =
    ["/usr/sbin", "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", "/usr/local/opt/nats-server/bin"];

/// One installation of PostgreSQL's server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PostgresBinaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

impl PostgresBinaries {
    /// The programs for `cluster`, which `needed` made, or the first that will do for a new one.
    pub(super) fn find(cluster: &Path, needed: Option<u32>) -> Result<Self, EmbeddedError> {
        let mut seen = Vec::new();
        for dir in candidates() {
            let Some(major) = major_of(&dir.join("postgres")) else { continue };
            if needed.map_or(major >= OLDEST_MAJOR, |needed| needed == major) {
                return Ok(Self { dir, major });
            }
            seen.push((major, dir));
        }
        match needed {
            Some(needed) if !seen.is_empty() => {
                let found: BTreeSet<String> = seen.iter().map(|(major, _)| major.to_string()).collect();
                let found = found.into_iter().collect::<Vec<_>>().join(", ");
                Err(EmbeddedError::WrongMajor { path: cluster.to_path_buf(), needed, found })
            }
            Some(_) | None => {
                let found = seen.first().map(|(major, dir)| format!(" (only {major} in {})", dir.display()));
                Err(EmbeddedError::NoPostgres { found: found.unwrap_or_default() })
            }
        }
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether a contributed module is installed: asked of these programs' own `pg_config`, or else looked for beside them.
    pub(super) fn has_module(&self, name: &str) -> bool {
        let told = output_of(&self.program("pg_config"), "--pkglibdir").map(|text| PathBuf::from(text.trim()));
        let beside = ["../lib", "../lib/postgresql", "../lib64/pgsql"].map(|library| self.dir.join(library));
        let file = |library: PathBuf| MODULE_EXTENSIONS.map(|extension| library.join(name).with_extension(extension));
        told.into_iter().chain(beside).flat_map(file).any(|module| module.is_file())
    }
}

/// Of loadable modules, here and on macOS.
const MODULE_EXTENSIONS: [&str; 2] = ["so", "dylib"];

/// `nats-server`, if it is installed.
pub(super) fn nats_server() -> Option<PathBuf> {
    let dirs = path_dirs().into_iter().chain(NATS_DIRS.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join("nats-server")).find(|program| is_program(program))
}

/// Directories that hold both `postgres` and `initdb`, best first, each once.
fn candidates() -> Vec<PathBuf> {
    let on_path = path_dirs().into_iter().filter_map(|dir| real_dir_of(&dir.join("postgres")));
    let by_pg_config = pg_config_bindir();
    let versioned = VERSIONED.iter().flat_map(|(parent, prefix, bin)| newest_first(Path::new(parent), prefix, bin));
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in on_path.chain(by_pg_config).chain(versioned) {
        if !dirs.contains(&dir) && is_program(&dir.join("postgres")) && is_program(&dir.join("initdb")) {
            dirs.push(dir);
        }
    }
    dirs
}

fn path_dirs() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The directory a program really lies in: `initdb` finds `postgres` beside itself, not beside a link to it.
fn real_dir_of(program: &Path) -> Option<PathBuf> {
    program.canonicalize().ok()?.parent().map(Path::to_path_buf)
}

fn pg_config_bindir() -> Option<PathBuf> {
    let text = output_of(Path::new("pg_config"), "--bindir")?;
    Path::new(text.trim()).canonicalize().ok()
}

fn newest_first(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@').to_owned();
            Some((leading_number(&version).unwrap_or(0), entry.path().join(bin)))
        })
        .filter_map(|(version, dir)| Some((version, dir.canonicalize().ok()?)))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, dir)| dir).collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn major_of(postgres: &Path) -> Option<u32> {
    parse_major(&output_of(postgres, "--version")?)
}

fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

/// The major version in what `postgres --version` says.
fn parse_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL)")?;
    leading_number(version.trim_start())
}

/// The number a text begins with.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn versions_as_the_distributions_write_them() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 16.2 (Homebrew)"), Some(16));
        assert_eq!(parse_major("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(parse_major("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(parse_major("nats-server: v2.9.10"), None);
        assert_eq!(parse_major("postgres (PostgreSQL) "), None);
    }
}
