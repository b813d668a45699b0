//! Whatever happens to an export on the way is found before anything of it is written.

use std::fs;

use sha2::{Digest, Sha256};

use super::{Scratch, content, empty_store, exported, head, refused, succeeded, text};
use crate::support::process::run;
use crate::support::sql::count;

/// The lines with one of them changed.
fn with(lines: &[String], change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let mut changed = lines.to_vec();
    change(&mut changed);
    changed.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// As [`with`], with the checksum that fits.
fn sealed(lines: &[String], change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let before = with(lines, |lines| {
        change(lines);
        lines.pop();
    });
    let digest = format!("{:x}", Sha256::digest(&before));
    let trailer = format!(r#"{{"trailer":{{"lines":{},"sha256":"{digest}"}}}}"#, lines.len() - 1);
    [before, format!("{trailer}\n").into_bytes()].concat()
}

/// The line with the first of `from` in it written otherwise.
fn replaced(line: &mut String, from: &str, to: &str) {
    assert!(line.contains(from), "{from} in {line}");
    *line = line.replacen(from, to, 1);
}

/// Each with a part of the complaint about it.
fn damaged(whole: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let lines: Vec<String> = String::from_utf8(whole.to_vec()).unwrap().lines().map(str::to_owned).collect();
    let last = lines.len() - 1;
    let flip = |place: usize| {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 1;
        bytes
    };
    let name = b"\"first_name\":\"";
    let letter = whole.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let brace = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    vec![
        ("a letter of a name", flip(letter), "its checksum is not that of its lines"),
        ("a brace", flip(brace), "line 2 is not what must stand there"),
        ("no last line", with(&lines, |lines| drop(lines.pop())), "it breaks off behind line"),
        ("half", whole[..whole.len() / 2].to_vec(), "it breaks off behind line"),
        ("no last byte", whole[..whole.len() - 1].to_vec(), "it breaks off behind line"),
        ("a header alone", with(&lines, |lines| lines.truncate(1)), "it breaks off behind line 1"),
        ("an event less", with(&lines, |lines| drop(lines.remove(5))), "and says that it holds"),
        ("an event twice", with(&lines, |lines| lines.insert(5, lines[5].clone())), "line 7 is not what must stand"),
        ("two swapped", with(&lines, |lines| lines.swap(5, 6)), "line 7 is not what must stand there"),
        ("another line", with(&lines, |lines| lines[5] = "{}".to_owned()), "line 6 is not what must stand there"),
        ("more", [whole, b"\n"].concat(), "something follows its last line"),
        ("twice", [whole, whole].concat(), "something follows its last line"),
        (
            "another checksum",
            with(&lines, |lines| replaced(&mut lines[last], "\"sha256\":\"", "\"sha256\":\"0")),
            "its checksum is not that of its lines",
        ),
        (
            "a lower head",
            with(&lines, |lines| replaced(&mut lines[0], "\"head\":", "\"head\":0.")),
            "line 1 is not what must stand there",
        ),
        (
            "another format",
            with(&lines, |lines| replaced(&mut lines[0], "\"version\":1", "\"version\":2")),
            "the export is of format 2",
        ),
        ("a letter", b"Dear Asha,\n".to_vec(), "is not an export of a log"),
        ("nothing", Vec::new(), "is not an export of a log"),
        (
            "another head",
            sealed(&lines, |lines| replaced(&mut lines[0], "\"events\":", "\"events\":1")),
            "events, and says that it holds",
        ),
        (
            "an event of a newer build",
            sealed(&lines, |lines| {
                let registered = lines.iter_mut().find(|line| line.contains("\"CustomerImported\"")).unwrap();
                replaced(registered, "\"event_version\":\"1.0\"", "\"event_version\":\"9.0\"");
            }),
            "takes a newer version of the product",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_export_is_refused_and_leaves_the_store_empty() {
    let scratch = Scratch::new();
    let (pool, file) = exported(&scratch, "log.ndjson", 40).await;
    let whole = fs::read(&file).unwrap();
    let (config, store) = empty_store().await;
    let broken = scratch.file("broken.ndjson");
    for (what, bytes, why) in damaged(&whole) {
        fs::write(&broken, bytes).unwrap();
        let ran = run(&config, &["restore", text(&broken)]).await;
        assert!(ran.complained.contains(why), "{what}: no '{why}' in: {}", ran.complained);
        refused(&ran, "the log was not restored");
        assert!(!ran.complained.contains("98765"), "no personal data: {}", ran.complained);
        for table in ["events", "phone_numbers", "imported_rows", "idempotency_keys", "log_restored"] {
            assert_eq!(count(&store, table).await, 0, "{what}: {table}");
        }
    }
    refused(&run(&config, &["restore", text(&scratch.file("none"))]).await, "there is no file");
    succeeded(&run(&config, &["restore", text(&file)]).await);
    let head = head(&pool).await;
    assert_eq!(content(&store, head).await, content(&pool, head).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_export_is_watched_too() {
    let scratch = Scratch::new();
    let (config, store) = empty_store().await;
    for name in ["log.gz", "log.zst"] {
        let (_, file) = exported(&scratch, name, 40).await;
        let whole = fs::read(&file).unwrap();
        let broken = scratch.file(&format!("broken-{name}"));
        // Early, in the middle, and in the last bytes.
        for place in [whole.len() / 4, whole.len() / 2, whole.len() - 3] {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&broken, bytes).unwrap();
            refused(&run(&config, &["restore", text(&broken)]).await, "the export is ");
            fs::write(&broken, &whole[..place]).unwrap();
            refused(&run(&config, &["restore", text(&broken)]).await, "it breaks off behind line");
        }
        assert_eq!(count(&store, "events").await, 0);
    }
}
