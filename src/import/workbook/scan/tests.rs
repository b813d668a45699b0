//! What is measured as one item, wherever it is cut, and what is refused.

use super::*;

fn scanned(part: &str, text: &str) -> Result<(), String> {
    let mut scan = Scan::of(part);
    scan.add(text.as_bytes()).map_err(|error| error.to_string())
}

fn sheet(text: &str) -> Result<(), String> {
    scanned("xl/worksheets/sheet1.xml", text)
}

/// A text of two thirds of what an item may have.
fn long() -> String {
    "x".repeat(700_000)
}

#[track_caller]
fn assert_refused(outcome: Result<(), String>, with: &str) {
    let error = outcome.expect_err(with);
    assert!(error.contains(with), "{error}");
}

#[test]
fn what_is_in_bounds_passes() {
    let long = long();
    for text in [
        format!("<si><t>{long}</t></si><si><t>{long}</t></si>"),
        format!("<!-- {long} --><!-- {long} -->"),
        format!("<?xml version=\"1.0\"?><c r=\"A1\" t='inlineStr'><is><t>{long}</t></is></c><c/><c>{long}</c>"),
        format!("<a b=\"{long}\"/><a b='{long}'></a>"),
        format!("<v><![CDATA[{long}]]></v><v>{long}</v>"),
    ] {
        assert_eq!(sheet(&text), Ok(()));
    }
}

#[test]
fn nothing_inside_an_item_is_its_end() {
    let long = long();
    let item = "a single item";
    assert_refused(sheet(&format!("<t>{long}>{long}")), item);
    assert_refused(sheet(&format!("<a b=\"{long}>\" c=\"{long}\"")), item);
    assert_refused(sheet(&format!("<!-- {long}>{long} -->")), item);
    assert_refused(sheet(&format!("<![CDATA[{long}>{long}]]>")), item);
    assert_refused(sheet(&format!("<?a {long}>{long}?>")), item);
    assert_refused(sheet(&format!("{long}&gt;{long}")), item);
}

#[test]
fn what_the_reader_collects_is_one_item() {
    let long = long();
    let item = "a single item";
    assert_refused(sheet(&format!("<si><r><t>{long}</t></r><r><t>{long}</t></r></si>")), item);
    assert_refused(sheet(&format!("<x:si><x:t>{long}</x:t><y/><x:t>{long}</x:t></x:si>")), item);
    assert_refused(sheet(&format!("<c><is><r><t>{long}</t></r><r><t>{long}</t></r></is></c>")), item);
    assert_refused(sheet(&format!("<v>{long}<b/></c><c>{long}</c>")), item);
    assert_refused(sheet(&format!("<t>{long}</t x><t>{long}</t>")), item);
    assert_refused(sheet(&format!("<t>{long}<!-- </t> --><t a=\"</t>\">{long}</t>")), item);
    assert_refused(sheet("<a:t><si><b:t></a:t></si>"), "several name spaces");
}

#[test]
fn what_readers_disagree_about_is_refused() {
    for text in ["<!DOCTYPE a>", "<?>", "<!-->", "<!--->", "</a b=\"c\">", "\u{0}<", "<!ENTITY a>"] {
        assert_refused(sheet(text), "no spreadsheet program writes");
    }
    let mut utf16 = Scan::of("a.xml");
    assert!(utf16.add(b"\xfe\xff\x3c").is_err());
}

#[test]
fn styles_are_few_and_short() {
    let format = |length: usize| format!("<numFmt numFmtId=\"164\" formatCode=\"{}\"/>", "0".repeat(length));
    let xfs = |count: usize| "<xf numFmtId=\"164\"/>".repeat(count);
    assert_eq!(scanned("xl/styles.xml", &(format(1024) + &xfs(65_536))), Ok(()));
    assert_refused(scanned("xl/styles.xml", &format(1025)), "an attribute of more than 1024 bytes");
}

#[test]
fn formats_and_sheets_are_counted() {
    assert_refused(scanned("xl/styles.xml", &"<xf/>".repeat(65_537)), "65536 cell formats");
    let sheets = |count: usize| -> String { (0..count).map(|id| format!("<sheet r:id=\"rId{id}\"/>")).collect() };
    assert_eq!(scanned("xl/workbook.xml", &sheets(256)), Ok(()));
    assert_refused(scanned("xl/workbook.xml", &sheets(257)), "more than 256 sheets");
}

#[test]
fn each_sheet_is_a_part_of_its_own() {
    let shared = "<sheet name=\"a\" sheetId=\"1\" r:id=\"rId1\"/><sheet name=\"b\" sheetId=\"2\" r:id=\"rId1\"/>";
    assert_refused(scanned("xl/workbook.xml", shared), "several sheets in one part");
    let related = |targets: [&str; 2]| {
        let relation =
            |target| format!("<Relationship Id=\"{target}\" Type=\"http://x/worksheet\" Target=\"{target}\"/>");
        scanned("xl/_rels/workbook.xml.rels", &targets.map(relation).concat())
    };
    assert_eq!(related(["worksheets/sheet1.xml", "/xl/worksheets/sheet2.xml"]), Ok(()));
    assert_refused(related(["worksheets/sheet1.xml", "/xl/worksheets/Sheet1.xml"]), "several sheets in one part");
    assert_refused(related(["worksheets/sheet1.xml", "media/sheet2.png"]), "no .xml part");
    let twice = "<Relationship Id=\"1\" Type=\"http://x/worksheet\" Target=\"a.xml\" Target=\"b.xml\"/>";
    assert_refused(scanned("xl/_rels/workbook.xml.rels", twice), "an attribute twice");
}

#[test]
fn it_is_the_same_wherever_it_is_cut() {
    let text = "<?xml version=\"1.0\"?><!-- a>b --><sst><x:si a='>'><t>x</t><t><![CDATA[</t>]]></t></x:si></sst>";
    for cut in 1..text.len() {
        let mut scan = Scan::of("xl/sharedStrings.xml");
        scan.add(&text.as_bytes()[..cut]).unwrap();

        scan.add(&text.as_bytes()[cut..]).unwrap();
        assert!(scan.open.iter().all(Option::is_none), "{cut}");
        assert!(matches!(scan.at, At::Text));
    }
}
