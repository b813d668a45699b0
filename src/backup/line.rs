//! What the lines of an export say: a JSON object each, with one member that names what it is.
//!
//! A header, the events in the order of their positions, the rows of workbooks, the remembered answers, the API's keys, the
//! counters, and a trailer with the checksum of all bytes before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::beside::Counters;
use crate::store::reader::Entry;

/// The version of the format that is written; a file of another one is not read.
pub const FORMAT_VERSION: u32 = 1;
/// A longer line is not one of an export, in bytes: no event comes near it.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Header(Header),
    /// An event, as it lies in the log.
    Event(Box<Entry>),
    /// Which id a row of a workbook became: a row of the table `imported_rows`.
    ImportedRow(Box<RawValue>),
    /// What a request with an idempotency key was answered: a row of the table `idempotency_keys`.
    Answer(Box<RawValue>),
    /// Who may use the API: a row of the table `api_keys`, which holds no secret.
    ApiKey(Box<RawValue>),
    /// The highest numbers that were given.
    Counters(Counters),
    /// The last.
    Trailer(Trailer),
}

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The identity of the log.
    pub log: String,
    /// The position of its last event that is exported.
    pub head: i64,
    /// How many events there are up to it.
    pub events: i64,
    /// When the export was begun.
    pub begun_at: DateTime<Utc>,
}

/// That it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// How many lines stand before it.
    pub lines: u64,
    /// Of all their bytes, unpacked, in hexadecimal.
    pub sha256: String,
}

impl Line {
    /// Its bytes, with the newline.
    ///
    /// # Errors
    /// Never for what came out of the log.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        // A payload that somebody wrote over several lines: outside of strings, where JSON has no line breaks, they mean
        // no more than spaces.
        bytes.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// What bytes say, with or without the newline.
    ///
    /// # Errors
    /// When they are no line of an export.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_payload_stays_as_it_was_written_but_for_line_breaks() {
        let event = concat!(
            r#"{"event":{"position":7,"recorded_at":"2026-03-31T09:30:00.123456Z","customer_id":1,"#,
            r#""aggregate_type":"customer","aggregate_id":"1","sequence":1,"event_type":"E","event_version":"1.0","#,
            r#""payload":{ "b": 1.50,  "a": "x\ny" },"metadata":{"customer_id":"1"}}}"#
        );
        let written = |text: &str| String::from_utf8(Line::decode(text.as_bytes()).unwrap().encode().unwrap()).unwrap();
        assert_eq!(written(event), format!("{event}\n"));
        let broken = event.replace("1.50,  ", "1.50,\r\n");
        assert_eq!(written(&broken), format!("{event}\n"));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in ["", "{}", "[]", r#"{"event":{}}"#, r#"{"other":{}}"#, r#"{"answer":{}} {}"#] {
            assert!(Line::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
