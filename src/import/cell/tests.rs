//! Tables of what people write into cells, and what it means.

use calamine::{CellErrorType, DataRef, ExcelDateTime, ExcelDateTimeType};

use super::*;

fn written(text: &str) -> DataRef<'_> {
    DataRef::SharedString(text)
}

/// The value as text, or the reason with a `!` before it.
fn shown<T: ToString>(result: Result<T, Invalid>) -> String {
    result.map_or_else(|reason| format!("!{reason}"), |value| value.to_string())
}

#[test]
fn money_as_people_write_it() {
    for (text, expected) in [
        ("50000", "50000.00"),
        (" 50,000 ", "50000.00"),
        ("5,00,000.00", "500000.00"),
        ("1,50,00,000", "15000000.00"),
        ("1,500,000.5", "1500000.50"),
        ("₹ 50,000", "50000.00"),
        ("Rs. 500/-", "500.00"),
        ("INR 7.25", "7.25"),
        ("+3", "3.00"),
        ("-1", "!must not be negative"),
        ("₹ -1", "!must not be negative"),
        ("12,5", "!must be a number"),
        ("1,2,3", "!must be a number"),
        ("1_000", "!must be a number"),
        ("1e5", "!must be a number"),
        ("1.", "!must be a number"),
        (".5", "!must be a number"),
        ("50 000", "!must be a number"),
        ("fifty", "!must be a number"),
        ("1.005", "!must have at most two decimals"),
        ("99999999999999999999999999999999", "!is out of range"),
    ] {
        assert_eq!(shown(money(&written(text))), expected, "{text}");
    }
}

#[test]
fn money_of_number_cells_is_exact_but_for_binary_noise() {
    for (number, expected) in [
        (50000.0, "50000.00"),
        (0.1, "0.10"),
        (21145.000000000004, "21145.00"),
        (8791.589999999999, "8791.59"),
        (8791.595, "!must have at most two decimals"),
        (-0.000_000_01, "0.00"),
        (-5.0, "!must not be negative"),
        (1e30, "!is out of range"),
        (f64::NAN, "!must be a number"),
        (f64::INFINITY, "!must be a number"),
    ] {
        assert_eq!(shown(money(&DataRef::Float(number))), expected, "{number}");
    }
    assert_eq!(shown(money(&DataRef::Bool(true))), "!must be a number");
}

#[test]
fn rates_in_percent() {
    for (cell, percentage, expected) in [
        (written(" 12.5 "), false, "12.5"),
        (written("12.5%"), false, "12.5"),
        (written("12.5 %"), true, "12.5"),
        (DataRef::Float(14.340000000000002), false, "14.34"),
        (DataRef::Float(0.1434), true, "14.34"),
        (DataRef::Float(0.1434), false, "0.1434"),
        (DataRef::Float(101.0), false, "!must be from 0 to 100 percent a year"),
        (DataRef::Float(1.23456), false, "!must have at most four decimals"),
    ] {
        assert_eq!(shown(rate(&cell, percentage)), expected, "{cell:?}");
    }
}

#[test]
fn integers_and_ids() {
    for (cell, integer, as_id) in [
        (DataRef::Float(9268.0), "9268", "9268"),
        (DataRef::Int(7), "7", "7"),
        (written("9268.0"), "9268", "9268"),
        (written(" 42 "), "42", "42"),
        (written("LOAN_000001"), "!must be a number", "LOAN_000001"),
        (DataRef::Float(1.5), "!must be an integer", "!must be an integer or a text"),
        (DataRef::Float(1e17), "100000000000000000", "!has more digits than a number cell can hold; it must be a text"),
        (written("12345678901234567890"), "!must be an integer", "12345678901234567890"),
    ] {
        assert_eq!(shown(whole(&cell)), integer, "{cell:?}");
        assert_eq!(shown(id(&cell)), as_id, "{cell:?}");
    }
    for (text, expected) in [
        ("9268", Some(9268)),
        ("9007199254740991", Some(MAX_ID)),
        ("9007199254740992", None),
        ("0", None),
        ("007", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("LOAN_000001", None),
    ] {
        assert_eq!(integer_id(text), expected, "{text}");
    }
}

#[test]
fn phone_numbers_are_digits() {
    for (cell, expected) in [
        (DataRef::Float(9_629_317_944.0), "9629317944"),
        (written("9629317944.0"), "9629317944"),
        (written("+91 (98765) 432-10"), "919876543210"),
        (written("98765.43210"), "9876543210"),
        (written("12"), "!must be 5 to 15 digits"),
        (written("call me"), "!must be 5 to 15 digits"),
    ] {
        assert_eq!(shown(phone_number(&cell).map(String::from)), expected, "{cell:?}");
    }
}

#[test]
fn what_no_column_takes() {
    for (cell, expected) in [
        (DataRef::Empty, "!is missing"),
        (written(" \u{a0}"), "!is missing"),
        (DataRef::Error(CellErrorType::NA), "!is the error #N/A"),
        (DataRef::String("x".repeat(10_001)), "!has more than 10000 characters"),
        (DataRef::String("अ".repeat(10_000)), "ok"),
    ] {
        assert_eq!(shown(check(&cell).map(|()| "ok")), expected);
    }
    assert_eq!(excerpt(&DataRef::String("a\nb".repeat(20))).map(|text| text.chars().count()), Some(54));
}

#[test]
fn dates_as_people_write_them() {
    for (text, expected) in [
        ("2017-10-03", "2017-10-03"),
        ("2017-10-03 00:00:00", "2017-10-03"),
        ("2017-10-03T00:00:00", "2017-10-03"),
        ("2017-10-03T18:30:00.000Z", "2017-10-03"),
        ("2017/10/03", "2017-10-03"),
        ("03/10/2017", "2017-10-03"),
        ("03-10-2017", "2017-10-03"),
        ("3.10.2017", "2017-10-03"),
        ("10/25/2017", "2017-10-25"),
        ("25/10/2017 10:00 AM", "2017-10-25"),
        ("3 Oct 2017", "2017-10-03"),
        ("3-OCT-2017", "2017-10-03"),
        ("3rd October 2017", "2017-10-03"),
        ("Oct 3, 2017", "2017-10-03"),
        ("03 Sept 2017", "2017-09-03"),
        ("43011", "2017-10-03"),
        ("03/10/17", "!must be a date with a year of four digits"),
        ("31/02/2017", "!must be a date"),
        ("13/13/2017", "!must be a date"),
        ("3 Ot 2017", "!must be a date"),
        ("2017", "!must be a date"),
        ("tomorrow", "!must be a date"),
        ("2201-01-01", "!must be a date from 1900 to 2200"),
    ] {
        assert_eq!(shown(date(&written(text), false)), expected, "{text}");
    }
}

#[test]
fn dates_of_number_cells() {
    let cell = |number, kind, from_1904| DataRef::DateTime(ExcelDateTime::new(number, kind, from_1904));
    for (cell, from_1904, expected) in [
        (cell(43011.0, ExcelDateTimeType::DateTime, false), false, "2017-10-03"),
        (cell(43011.99, ExcelDateTimeType::DateTime, false), false, "2017-10-03"),
        (cell(41549.0, ExcelDateTimeType::DateTime, true), true, "2017-10-03"),
        (cell(43011.0, ExcelDateTimeType::TimeDelta, false), false, "!must be a date"),
        (cell(60.0, ExcelDateTimeType::DateTime, false), false, "!must be a date"),
        (DataRef::Float(43011.5), false, "2017-10-03"),
        (DataRef::Float(41549.0), true, "2017-10-03"),
        (DataRef::Float(2017.0), false, "!must be a date"),
        (DataRef::Float(-1.0), false, "!must be a date"),
        (DataRef::Float(f64::NAN), false, "!must be a number"),
        (DataRef::Float(1e15), false, "!must be a date from 1900 to 2200"),
        (DataRef::Bool(true), false, "!must be a date"),
    ] {
        assert_eq!(shown(date(&cell, from_1904)), expected, "{cell:?}");
    }
}
