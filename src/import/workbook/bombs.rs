//! Files that are small and would take much, each as somebody would make it by hand.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;

use super::*;

const ROOT: &str = "<Relationships><Relationship Id=\"rId1\" Type=\"http://x/relationships/officeDocument\" Target=\"xl/workbook.xml\"/>\
                    </Relationships>";
const SHEET: &str = "<worksheet><sheetData/></worksheet>";

/// A workbook of one sheet, but for the parts that are told.
fn crafted(told: &[(&str, &str)]) -> Result<SheetSummary, WorkbookError> {
    let usual = [
        ("_rels/.rels", ROOT),
        ("xl/workbook.xml", "<workbook><sheets><sheet name=\"a\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id=\"rId1\" Type=\"http://x/worksheet\" Target=\"worksheets/sheet1.xml\"/>\
             </Relationships>",
        ),
        ("xl/worksheets/sheet1.xml", SHEET),
    ];
    let mut file = tempfile::tempfile().unwrap();
    let mut bytes = Cursor::new(Vec::new());
    let mut zip = zip::ZipWriter::new(&mut bytes);
    let kept = usual.iter().filter(|(part, _)| told.iter().all(|(other, _)| other != part));
    for (part, text) in kept.chain(told) {
        zip.start_file(*part, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    file.write_all(bytes.get_ref()).unwrap();
    read_customers(&Source::opened("bomb.xlsx", file), |_| ControlFlow::Continue(()))
}

#[track_caller]
fn assert_refused(told: &[(&str, &str)], with: &str) {
    let error = crafted(told).unwrap_err().to_string();
    assert!(error.contains(with), "{error}");
}

#[test]
fn the_workbook_that_is_no_bomb_is_read() {
    assert!(matches!(crafted(&[]), Err(WorkbookError::Empty)));
}

#[test]
fn styles_that_multiply_are_refused() {
    let long = "0".repeat(1 << 19);
    let formats = format!(
        "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"{long}\"/></numFmts><cellXfs>{}</cellXfs></styleSheet>",
        "<xf numFmtId=\"164\"/>".repeat(60_000)
    );
    assert_refused(&[("xl/styles.xml", &formats)], "an attribute of more than 1024 bytes");
    let fonts = format!(
        "<styleSheet><fonts><font><name val=\"{long}\"/></font></fonts><cellXfs>{}</cellXfs></styleSheet>",
        "<xf fontId=\"0\"/>".repeat(60_000)
    );
    assert_refused(&[("xl/styles.xml", &fonts)], "an attribute of more than 1024 bytes");
    let many = format!("<styleSheet><cellXfs>{}</cellXfs></styleSheet>", "<xf/>".repeat(70_000));
    assert_refused(&[("xl/styles.xml", &many)], "more than 65536 cell formats");
    let large = format!("<styleSheet>{}</styleSheet>", "<font/>".repeat(1_300_000));
    assert_refused(&[("xl/styles.xml", &large)], "bytes of styles");
}

#[test]
fn texts_without_end_are_refused() {
    let runs = format!("<sst><si>{}</si></sst>", "<r><t>abcdefgh></t></r>".repeat(60_000));
    assert_refused(&[("xl/sharedStrings.xml", &runs)], "a single item");
    let cell = format!(
        "<worksheet><sheetData><row><c t=\"inlineStr\"><is>{}</is></c></row></sheetData></worksheet>",
        "<r><t>abcdefgh</t></r>".repeat(60_000)
    );
    assert_refused(&[("xl/worksheets/sheet1.xml", &cell)], "a single item");
    let comment = format!("<worksheet><!--{}--><sheetData/></worksheet>", " > ".repeat(500_000));
    assert_refused(&[("xl/worksheets/sheet1.xml", &comment)], "a single item");
}

#[test]
fn a_part_is_one_sheet_only() {
    let sheets = "<workbook><sheets><sheet name=\"a\" sheetId=\"1\" r:id=\"rId1\"/>\
                  <sheet name=\"b\" sheetId=\"2\" r:id=\"rId1\"/></sheets></workbook>";
    assert_refused(&[("xl/workbook.xml", sheets)], "several sheets in one part");
    let many: String = (0..300).map(|id| format!("<sheet name=\"{id}\" sheetId=\"{id}\" r:id=\"rId{id}\"/>")).collect();
    assert_refused(&[("xl/workbook.xml", &many)], "more than 256 sheets");
}

#[test]
fn rows_rise() {
    let row = |number: u32| format!("<row r=\"{number}\"><c r=\"A{number}\"><v>1</v></c></row>");
    let sheet = |rows: &str| format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    let falling = sheet(&[5, 6, 3].map(row).concat());
    assert_refused(&[("xl/worksheets/sheet1.xml", &falling)], "row 3 stands behind row 6");
    let below_the_last = sheet(&row(1_048_577));
    assert!(crafted(&[("xl/worksheets/sheet1.xml", &below_the_last)]).is_err());
    let rising = sheet(&[3, 5, 6].map(row).concat());
    assert!(matches!(crafted(&[("xl/worksheets/sheet1.xml", &rising)]), Err(WorkbookError::NoHeader { .. })));
}
