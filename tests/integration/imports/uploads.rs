//! What is taken and what is not: forms that are wrong, too large, cut off or sent again, and workbooks that are none.

use std::io::Write;
use std::path::Path;

use credit_approval::config::{Role, Serve};
use futures::StreamExt;
use futures::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::json;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ended, form, part, tally, upload, uploaded};
use crate::import::{Scratch, imported};
use crate::support::problem::faults;
use crate::support::sql::count;
use crate::support::wait::eventually;
use crate::support::{Answer, Client, TestApp};

async fn assert_nothing_is_left(pool: &PgPool) {
    eventually("nothing is left of it", async || count(pool, "imports").await == 0).await;
    assert_eq!(count(pool, "import_files").await, 0);
}

/// An API by itself: nothing takes what is uploaded.
async fn api(arguments: &[&str]) -> TestApp {
    TestApp::start_with(Serve { roles: vec![Role::Api], ..TestApp::config(arguments).await }).await
}

fn bytes(content: &[u8]) -> Part {
    Part::bytes(content.to_vec()).file_name("workbook.xlsx")
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_are_wrong_are_refused_by_the_field_and_leave_nothing_behind() {
    let scratch = Scratch::new();
    let good = scratch.generated(10, 20).customers;
    let app = api(&[]).await;
    let client = &app.client;
    let cases: [(&str, Form, &[&str]); 13] = [
        ("nothing", Form::new().text("dry_run", "true"), &["customers"]),
        ("an unknown field", form(Some(&good), None).text("dryrun", "true"), &["dryrun"]),
        ("an unknown file", form(Some(&good), None).part("others", part(&good)), &["others"]),
        ("a file twice", form(Some(&good), None).part("customers", part(&good)), &["customers"]),
        ("a flag twice", form(Some(&good), None).text("dry_run", "true").text("dry_run", "true"), &["dry_run"]),
        ("a flag that is none", form(Some(&good), None).text("dry_run", "yes"), &["dry_run"]),
        ("a long flag", form(Some(&good), None).text("dry_run", "true".repeat(100_000)), &["dry_run"]),
        ("an empty file", form(Some(&good), None).part("loans", bytes(b"")), &["loans"]),
        ("a short file", form(Some(&good), None).part("loans", bytes(b"PK")), &["loans"]),
        ("text", form(Some(&good), None).part("loans", bytes(b"id,name\n1,Asha\n")), &["loans"]),
        ("an old workbook", Form::new().part("loans", bytes(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1])), &["loans"]),
        ("a large text", Form::new().part("loans", bytes(&vec![b'x'; 3 << 20])), &["loans"]),
        ("a field without content", form(Some(&good), None).text("dry_run", ""), &["dry_run"]),
    ];
    for (what, form, fields) in cases {
        let answer = upload(client, form).await;
        assert_eq!(faults(&answer, 400, fields), Vec::<String>::new(), "{what}: {}", answer.body);
    }

    let raw = |content_type: &str, body: &str| {
        client.request(Method::POST, "/v1/imports").header("Content-Type", content_type).body(body.to_owned())
    };
    let json = client.send(raw("application/json", "{}")).await;
    assert_eq!(faults(&json, 415, &["Content-Type"]), Vec::<String>::new());
    let no_boundary = client.send(raw("multipart/form-data", "--x\r\n")).await;
    assert_eq!(faults(&no_boundary, 400, &["Content-Type"]), Vec::<String>::new());
    let cut_off = "--x\r\nContent-Disposition: form-data; name=\"customers\"; filename=\"c.xlsx\"\r\n\r\nPK\x03\x04and";
    for body in ["", "nonsense", "--x\r\n", "--x\r\nno header\r\n\r\n", cut_off] {
        let answer = client.send(raw("multipart/form-data; boundary=x", body)).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    let unknown = client.send(client.request(Method::POST, "/v1/imports?dry_run=true").multipart(Form::new())).await;
    assert_eq!(faults(&unknown, 400, &["dry_run"]), Vec::<String>::new());
    assert_nothing_is_left(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_whether_it_says_so_or_not() {
    let app = api(&["--import-max-bytes", "1048576"]).await;
    let mut content = b"PK\x03\x04".to_vec();
    content.resize((1 << 20) + 1, 7);
    let declared = upload(&app.client, Form::new().part("customers", bytes(&content))).await;
    let halves = || Part::bytes(content[..600_000].to_vec()).file_name("half.xlsx");
    let together = upload(&app.client, Form::new().part("customers", halves()).part("loans", halves())).await;
    let pieces: Vec<_> = content.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let stream = Body::wrap_stream(futures::stream::iter(pieces));
    let undeclared = upload(&app.client, Form::new().part("customers", Part::stream(stream).file_name("s.xlsx"))).await;
    content.resize(3 << 20, 7);
    let far_too_large = upload(&app.client, Form::new().part("customers", bytes(&content))).await;
    for answer in [declared, together, undeclared, far_too_large] {
        assert_eq!(faults(&answer, 413, &["body"]), Vec::<String>::new(), "{}", answer.body);
    }
    assert_nothing_is_left(&app.pool().await).await;

    content.truncate(1 << 20);
    assert_eq!(upload(&app.client, Form::new().part("customers", bytes(&content))).await.status, 202);
    assert_eq!(count(&app.pool().await, "import_files").await, 4, "in pieces");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_end_is_refused_before_it_fills_the_memory() {
    let app = api(&[]).await;
    let start = "--x\r\nContent-Disposition: form-data; name=\"customers\"; filename=\"";
    let endless = std::iter::once(start.to_owned()).chain(std::iter::repeat_n("y".repeat(1 << 16), 400));
    let stream = futures::stream::iter(endless).map(Ok::<_, std::io::Error>);
    let request = app.client.request(Method::POST, "/v1/imports").body(Body::wrap_stream(stream));
    let answer = app.client.send(request.header("Content-Type", "multipart/form-data; boundary=x")).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_nothing_is_left(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing_behind() {
    let app = api(&[]).await;
    let pool = app.pool().await;
    let url = app.client.request(Method::GET, "/").build().unwrap().url().clone();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let authorization = app.client.authorization();
    let head = format!(
        "POST /v1/imports HTTP/1.1\r\nHost: x\r\n{authorization}Content-Type: multipart/form-data; boundary=x\r\n\
         Content-Length: 5000000\r\n\r\n\
         --x\r\nContent-Disposition: form-data; name=\"customers\"; filename=\"c.xlsx\"\r\n\r\nPK\x03\x04"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 1 << 20]).await.unwrap();
    eventually("some of it is stored", async || count(&pool, "import_files").await >= 3).await;
    assert_eq!(app.client.get("/v1/imports").await.body["items"], json!([]), "it is nobody's to see");
    assert_eq!(app.client.get("/v1/imports/1").await.status, 404);
    drop(stream);
    assert_nothing_is_left(&pool).await;
    app.stop().await;
}

async fn keyed(client: &Client, key: &str, form: Form) -> Answer {
    let request = client.request(Method::POST, "/v1/imports").header("Idempotency-Key", key);
    client.send(request.multipart(form)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_workbooks_under_the_same_key_are_one_import() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = api(&[]).await;
    let other = app.another().await;
    let (client, pool) = (&app.client, app.pool().await);
    let both = || form(Some(&files.customers), Some(&files.loans));
    let first = keyed(client, "k", both()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, ""), "{}", first.body);
    // Another form, with the same in it: parts in another order, between other boundaries.
    let turned = Form::new().text("dry_run", "false").part("loans", part(&files.loans));
    for (client, form) in [(client, both()), (&other.client, turned.part("customers", part(&files.customers)))] {
        let again = keyed(client, "k", form).await;
        assert_eq!((again.status, &again.body), (202, &first.body));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("location"), first.header("location"));
    }
    for form in [both().text("dry_run", "true"), form(Some(&files.customers), None)] {
        let reused = keyed(client, "k", form).await;
        assert_eq!((reused.status, reused.wrong_fields()), (422, vec!["Idempotency-Key"]), "{}", reused.body);
    }
    let refused = keyed(client, "wrong", Form::new().part("loans", bytes(b"text"))).await;
    assert_eq!(refused.status, 400);
    assert_eq!(keyed(client, "wrong", both()).await.status, 202, "what was refused is not remembered");
    assert_eq!(count(&pool, "imports").await, 2);

    let clients = [client, &other.client];
    let at_once = join_all((0..10).map(|number| keyed(clients[number % 2], "many", both()))).await;
    let taken: Vec<_> = at_once.iter().filter(|answer| answer.status == 202).collect();
    assert!(!taken.is_empty() && taken.iter().all(|answer| answer.body == taken[0].body));
    assert!(at_once.iter().all(|answer| matches!(answer.status, 202 | 409 | 503)), "{at_once:?}");
    eventually("the others are gone", async || count(&pool, "imports").await == 3).await;
    other.stop().await;
    app.stop().await;
}

/// A zip archive with one part, the same text again and again, to so many megabytes unpacked.
fn bomb(path: &Path, part: &str, text: &str, megabytes: u64) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_level(Some(9));
    zip.start_file(part, options).unwrap();
    let piece = text.repeat((1 << 20) / text.len());
    for _ in 0..megabytes {
        zip.write_all(piece.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let packed = std::fs::metadata(path).unwrap().len();
    assert!(packed < (megabytes << 20) / 250, "small as it is, it unpacks to that: {packed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_that_cannot_be_imported_fails_with_a_plain_error_and_changes_nothing() {
    let scratch = Scratch::new();
    let files = scratch.generated(30, 60);
    let app = TestApp::start().await;
    let (sheet, strings) = (scratch.0.join("sheet.xlsx"), scratch.0.join("strings.xlsx"));
    bomb(&sheet, "xl/worksheets/sheet1.xml", "<c/>", 20);
    bomb(&strings, "xl/sharedStrings.xml", "<si/>", 20);
    let damaged = scratch.0.join("damaged.xlsx");
    let whole = std::fs::read(&files.loans).unwrap();
    std::fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    let cases = [
        (
            form(Some(&files.customers), Some(&sheet)),
            "sheet.xlsx: it unpacks to more than can be imported: more than 250",
        ),
        (form(Some(&strings), Some(&files.loans)), "strings.xlsx: it unpacks to more than can be imported"),
        (form(Some(&files.customers), Some(&files.customers)), "customer_data.xlsx: sheet"),
        (form(Some(&files.customers), Some(&damaged)), "damaged.xlsx: it is damaged"),
    ];
    for (form, expected) in cases {
        let id = uploaded(&app.client, form).await;
        let failed = ended(&app.client, id, "failed").await;
        assert!(failed["error"].as_str().unwrap().starts_with(expected), "{failed}");
        assert_eq!(tally(&failed["customers"]), [0; 5]);
    }
    let pool = app.pool().await;
    assert_eq!((imported(&pool).await, count(&pool, "import_files").await), ((0, 0), 0));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_refused_reads_why() {
    let app = api(&[]).await;
    let url = app.client.request(Method::GET, "/").build().unwrap().url().clone();
    let mut stream = TcpStream::connect(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())).await.unwrap();
    let authorization = app.client.authorization();
    let head = format!(
        "POST /v1/imports HTTP/1.1\r\nHost: x\r\n{authorization}Connection: close\r\nExpect: 100-continue\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99999999999\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "it is told before it has sent anything: {answer}");
    app.stop().await;
}
