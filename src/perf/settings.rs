//! Settings of PostgreSQL that are not as they should be.

use super::{Examined, Finding, Severity};

/// A setting that is not as it should be: name, the condition under which it is wrong, and what to say.
struct Setting {
    name: &'static str,
    wrong: &'static str,
    severity: Severity,
    why: &'static str,
    better: &'static str,
}

const SETTINGS: [Setting; 11] = [
    Setting {
        name: "fsync",
        wrong: "setting = 'off'",
        severity: Severity::Critical,
        why: "a power cut destroys the database, and what was answered is lost",
        better: "on",
    },
    Setting {
        name: "full_page_writes",
        wrong: "setting = 'off'",
        severity: Severity::Critical,
        why: "a power cut leaves torn pages, which no recovery mends",
        better: "on",
    },
    Setting {
        name: "autovacuum",
        wrong: "setting = 'off'",
        severity: Severity::Critical,
        why: "dead rows pile up, statistics grow old, and in the end transaction ids run out",
        better: "on",
    },
    Setting {
        name: "track_counts",
        wrong: "setting = 'off'",
        severity: Severity::Critical,
        why: "autovacuum works by these counts, and does nothing without them",
        better: "on",
    },
    Setting {
        name: "log_error_verbosity",
        wrong: "setting <> 'terse'",
        severity: Severity::Warning,
        why: "the detail of a refused row quotes a phone number into the server's log",
        better: "terse",
    },
    Setting {
        name: "shared_buffers",
        wrong: "setting::bigint < 256 * 128 and pg_database_size(current_database()) > setting::bigint * 8192",
        severity: Severity::Warning,
        why: "what does not fit into it is read from the operating system again and again",
        better: "256MB",
    },
    Setting {
        name: "max_wal_size",
        wrong: "setting::bigint <= 1024",
        severity: Severity::Info,
        why: "imports and rebuilds write much, and each checkpoint that this forces writes whole pages again",
        better: "4GB",
    },
    Setting {
        name: "random_page_cost",
        wrong: "setting::numeric >= 4",
        severity: Severity::Info,
        why: "on solid-state storage the planner shies away from indexes that would be faster",
        better: "1.1",
    },
    Setting {
        name: "jit",
        wrong: "setting = 'on'",
        severity: Severity::Info,
        why: "compiling costs more than these short statements take",
        better: "off",
    },
    Setting {
        name: "track_io_timing",
        wrong: "setting = 'off'",
        severity: Severity::Info,
        why: "with it, slow statements say how long they waited for the disk",
        better: "on",
    },
    Setting {
        name: "data_checksums",
        wrong: "setting = 'off'",
        severity: Severity::Info,
        why: "a disk that returns other bytes than were written is not noticed",
        better: "on",
    },
];

pub(super) async fn findings(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let mut findings = Vec::new();
    for setting in &SETTINGS {
        let sql = format!(
            "select current_setting(name) from pg_settings where name = $1 and case when name = $1 then {} end",
            setting.wrong
        );
        let wrong: Option<String> = sqlx::query_scalar(&sql).bind(setting.name).fetch_optional(&mut *asking).await?;
        let Some(value) = wrong else { continue };
        let Setting { name, severity, why, better, .. } = setting;
        let advice = match *name {
            "data_checksums" => "pg_checksums --enable, while the server is stopped".to_owned(),
            "shared_buffers" => format!("alter system set {name} = '{better}'; and restart PostgreSQL"),
            _ => format!("alter system set {name} = '{better}'; select pg_reload_conf();"),
        };
        findings.push(Finding {
            severity: *severity,
            code: "setting",
            subject: (*name).to_owned(),
            what: format!("{name} is {value}"),
            why,
            advice,
            details: Vec::new(),
        });
    }
    asking.rollback().await?;
    Ok(findings)
}
