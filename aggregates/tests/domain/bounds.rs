//! Every input bound at its edge and one step beyond, by constructor and by JSON alike.

use std::fmt::Debug;

use aggregates::ids::{CustomerId, DecisionId, LoanId, MAX_ID, RepaymentId};
use aggregates::person::{Age, MonthlyIncome, Name, PhoneNumber};
use aggregates::repayment::{Reference, RepaymentAmount};
use aggregates::terms::{Principal, Rate, Tenure};
use aggregates::text::ReasonText;
use rstest::rstest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json, to_value};

use crate::support::decimal;

/// JSON goes through the same guard as the constructor.
fn assert_guarded<T>(built: Result<T, aggregates::Invalid>, document: &Value)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned,
{
    match (built, from_value::<T>(document.clone())) {
        (Ok(built), Ok(read)) => {
            assert_eq!(built, read, "{document}");
            assert_eq!(from_value::<T>(to_value(&built).unwrap()).unwrap(), built);
        }
        (Err(refused), Err(unread)) => assert!(unread.to_string().contains(&refused.0), "{unread}, {refused}"),
        (built, read) => panic!("{document} is built as {built:?} but read as {read:?}"),
    }
}

fn repeated(character: char, times: usize) -> String {
    std::iter::repeat_n(character, times).collect()
}

#[rstest]
#[case("A", "A")]
#[case("  Asha\t\n", "Asha")]
#[case("\u{3000}\u{a0}Asha\u{2003}", "Asha")]
#[case("Mary Jane O'Neill-Smith", "Mary Jane O'Neill-Smith")]
#[case("आशा", "आशा")]
#[case("王小明", "王小明")]
#[case("محمد", "محمد")]
#[case("José", "José")]
#[case("👩🏽", "👩🏽")]
#[case("12345", "12345")]
fn a_name_is_kept_as_given_but_trimmed(#[case] given: &str, #[case] name: &str) {
    assert_eq!(Name::try_from(given).unwrap().as_str(), name);
    assert_eq!(String::from(Name::try_from(given.to_owned()).unwrap()), name);
    assert_guarded(Name::try_from(given), &json!(given));
}

#[rstest]
#[case('a')]
#[case('अ')]
#[case('王')]
#[case('👩')]
fn a_name_is_measured_in_characters_after_trimming(#[case] character: char) {
    let most = repeated(character, 100);
    let padded = format!("  {most}  ");
    assert_eq!(Name::try_from(padded.as_str()).unwrap().as_str(), most);
    assert_guarded(Name::try_from(padded.as_str()), &json!(padded));
    let too_long = repeated(character, 101);
    assert_eq!(Name::try_from(too_long.as_str()).unwrap_err().to_string(), "must have at most 100 characters");
    assert_guarded(Name::try_from(too_long.as_str()), &json!(too_long));
}

#[rstest]
#[case("", "must not be empty")]
#[case(" \t\r\n\u{3000} ", "must not be empty")]
#[case("As\nha", "must not contain control characters")]
#[case("As\tha", "must not contain control characters")]
#[case("As\u{0}ha", "must not contain control characters")]
#[case("\u{0}", "must not contain control characters")]
#[case("Asha\u{7f}", "must not contain control characters")]
#[case("As\u{85}ha", "must not contain control characters")]
#[case("\u{9f}Asha", "must not contain control characters")]
#[case("As\u{1b}[31mha", "must not contain control characters")]
fn what_is_no_name_is_refused(#[case] given: &str, #[case] why: &str) {
    assert_eq!(Name::try_from(given).unwrap_err().to_string(), why);
    assert_guarded(Name::try_from(given), &json!(given));
}

#[rstest]
#[case(0, false)]
#[case(17, false)]
#[case(18, true)]
#[case(120, true)]
#[case(121, false)]
#[case(u8::MAX, false)]
fn an_age_is_18_to_120(#[case] years: u8, #[case] accepted: bool) {
    assert_guarded(Age::try_from(years), &json!(years));
    match Age::try_from(years) {
        Ok(age) => assert!(accepted && age.years() == years),
        Err(refused) => {
            assert!(!accepted);
            assert_eq!(refused.to_string(), "must be an integer from 18 to 120 years");
        }
    }
}

#[rstest]
#[case(json!(-18))]
#[case(json!(18.5))]
#[case(json!(256 + 18))]
#[case(json!("18"))]
#[case(json!(null))]
fn an_age_that_is_no_small_integer_is_not_wrapped(#[case] document: Value) {
    assert!(from_value::<Age>(document).is_err());
}

#[rstest]
#[case("12345", Some("12345"))]
#[case("123456789012345", Some("123456789012345"))]
#[case(" 9876543210 ", Some("9876543210"))]
#[case("00000", Some("00000"))]
#[case("1234", None)]
#[case("1234567890123456", None)]
#[case("", None)]
#[case("+919876543210", None)]
#[case("98765 43210", None)]
#[case("98765-43210", None)]
#[case("98765a", None)]
#[case("-12345", None)]
#[case::arabic_digits("١٢٣٤٥", None)]
#[case::full_width_digits("１２３４５", None)]
#[case("12345\u{0}", None)]
fn a_phone_number_is_5_to_15_digits(#[case] given: &str, #[case] digits: Option<&str>) {
    assert_guarded(PhoneNumber::try_from(given), &json!(given));
    match PhoneNumber::try_from(given) {
        Ok(phone) => assert_eq!(Some(phone.as_str()), digits),
        Err(refused) => {
            assert_eq!(None, digits);
            assert_eq!(refused.to_string(), "must be 5 to 15 digits");
        }
    }
}

#[rstest]
#[case("0.01", Ok("0.01"))]
#[case("50000", Ok("50000.00"))]
#[case("1000000000", Ok("1000000000.00"))]
#[case("1000000000.00000", Ok("1000000000.00"))]
#[case("0", Err("must be greater than 0"))]
#[case("-0", Err("must be greater than 0"))]
#[case("-0.00", Err("must be greater than 0"))]
#[case("-0.01", Err("must be greater than 0"))]
#[case("1000000000.01", Err("must be at most 1000000000"))]
#[case("0.001", Err("must have at most two decimals"))]
#[case("50000.005", Err("must have at most two decimals"))]
#[case("79228162514264337593543950335", Err("is too large"))]
fn an_income_is_over_0_and_at_most_a_billion(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = MonthlyIncome::try_from(decimal(given)).map(|income| income.money().to_string());
    assert_eq!(built, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
}

#[rstest]
#[case("0.01", Ok("0.01"))]
#[case("10000000000", Ok("10000000000.00"))]
#[case("0", Err("must be greater than 0"))]
#[case("-0", Err("must be greater than 0"))]
#[case("-1", Err("must be greater than 0"))]
#[case("10000000000.01", Err("must be at most 10000000000"))]
#[case("0.009", Err("must have at most two decimals"))]
#[case("1000000000000000000.01", Err("is too large"))]
fn a_principal_is_over_0_and_at_most_ten_billion(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = Principal::try_from(decimal(given)).map(|principal| principal.to_string());
    assert_eq!(built, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
}

#[rstest]
#[case("0.01", Ok("0.01"))]
#[case("8884.8800", Ok("8884.88"))]
#[case("10000000000", Ok("10000000000.00"))]
#[case("0", Err("must be greater than 0"))]
#[case("-0", Err("must be greater than 0"))]
#[case("-0.01", Err("must be greater than 0"))]
#[case("10000000000.01", Err("must be at most 10000000000"))]
#[case("0.009", Err("must have at most two decimals"))]
#[case("1000000000000000000.01", Err("is too large"))]
fn a_repayment_is_over_0_and_at_most_ten_billion(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = RepaymentAmount::try_from(decimal(given)).map(|amount| amount.to_string());
    assert_eq!(built, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
}

#[rstest]
#[case("A", Ok("A"))]
#[case(" UPI/4076 of 14 March \n", Ok("UPI/4076 of 14 March"))]
#[case("आशा ७", Ok("आशा ७"))]
#[case("", Err("must not be empty"))]
#[case(" \t\u{3000}", Err("must not be empty"))]
#[case("UPI\t4076", Err("must be visible characters and spaces"))]
#[case("UPI\n4076", Err("must be visible characters and spaces"))]
#[case("UPI\u{a0}4076", Err("must be visible characters and spaces"))]
#[case("UPI\u{0}", Err("must be visible characters and spaces"))]
fn a_reference_is_visible_characters(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = Reference::try_from(given);
    let text = built.clone().map(|reference| reference.as_str().to_owned());
    assert_eq!(text, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
    assert_guarded(built, &json!(given));
}

#[rstest]
#[case('a')]
#[case('अ')]
fn a_reference_is_measured_in_characters_after_trimming(#[case] character: char) {
    let most = repeated(character, 100);
    let padded = format!("  {most}  ");
    assert_eq!(Reference::try_from(padded.as_str()).unwrap().as_str(), most);
    assert_guarded(Reference::try_from(padded.as_str()), &json!(padded));
    let too_long = repeated(character, 101);
    assert_eq!(Reference::try_from(too_long.as_str()).unwrap_err().to_string(), "must have at most 100 characters");
    assert_guarded(Reference::try_from(too_long.as_str()), &json!(too_long));
}

#[rstest]
#[case(" posted twice \n", Ok("posted twice"))]
#[case("ग़लत ऋण", Ok("ग़लत ऋण"))]
#[case("  ", Err("must not be empty"))]
#[case("posted\ntwice", Err("must be visible characters and spaces"))]
fn a_reason_is_visible_characters(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = ReasonText::try_from(given);
    let text = built.clone().map(|reason| reason.as_str().to_owned());
    assert_eq!(text, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
    assert_guarded(built, &json!(given));
}

#[test]
fn a_reason_has_at_most_200_characters() {
    let (most, too_long) = (repeated('अ', 200), repeated('अ', 201));
    assert_guarded(ReasonText::try_from(most.as_str()), &json!(most));
    assert_eq!(ReasonText::try_from(too_long.as_str()).unwrap_err().to_string(), "must have at most 200 characters");
    assert_guarded(ReasonText::try_from(too_long.as_str()), &json!(too_long));
}

#[rstest]
#[case("0")]
#[case("0.00")]
#[case("0.01")]
#[case("1000000000")]
#[case("1000000000.01")]
#[case("10000000000")]
#[case("10000000000.01")]
#[case("0.001")]
#[case("-1")]
fn amounts_in_documents_are_guarded_alike(#[case] given: &str) {
    // A document's amount is read as money first, so a negative one is refused in money's words.
    let built = |refused: Result<(), aggregates::Invalid>| refused.is_ok();
    let income = built(MonthlyIncome::try_from(decimal(given)).map(drop));
    assert_eq!(from_value::<MonthlyIncome>(json!(given)).is_ok(), income);
    let principal = built(Principal::try_from(decimal(given)).map(drop));
    assert_eq!(from_value::<Principal>(json!(given)).is_ok(), principal);
    let repayment = built(RepaymentAmount::try_from(decimal(given)).map(drop));
    assert_eq!(from_value::<RepaymentAmount>(json!(given)).is_ok(), repayment);
}

#[rstest]
#[case("0", Ok("0"))]
#[case("-0", Ok("0"))]
#[case("-0.0000", Ok("0"))]
#[case("0.0001", Ok("0.0001"))]
#[case("8.25", Ok("8.25"))]
#[case("12.50000000", Ok("12.5"))]
#[case("100", Ok("100"))]
#[case("100.0000", Ok("100"))]
#[case("-0.0001", Err("must be from 0 to 100 percent a year"))]
#[case("100.0001", Err("must be from 0 to 100 percent a year"))]
#[case("79228162514264337593543950335", Err("must be from 0 to 100 percent a year"))]
#[case("12.34567", Err("must have at most four decimals"))]
#[case("0.00001", Err("must have at most four decimals"))]
fn a_rate_is_0_to_100_with_four_decimals(#[case] given: &str, #[case] expected: Result<&str, &str>) {
    let built = Rate::try_from(decimal(given));
    let text = built.clone().map(|rate| rate.to_string());
    assert_eq!(text, expected.map(str::to_owned).map_err(|why| aggregates::Invalid(why.to_owned())));
    assert_guarded(built, &json!(given));
}

#[rstest]
#[case(0, false)]
#[case(1, true)]
#[case(480, true)]
#[case(481, false)]
#[case(u16::MAX, false)]
fn a_tenure_is_1_to_480_months(#[case] months: u16, #[case] accepted: bool) {
    assert_guarded(Tenure::try_from(months), &json!(months));
    match Tenure::try_from(months) {
        Ok(tenure) => assert!(accepted && tenure.months() == months),
        Err(refused) => {
            assert!(!accepted);
            assert_eq!(refused.to_string(), "must be an integer from 1 to 480 months");
        }
    }
}

#[rstest]
#[case(json!(-1))]
#[case(json!(12.5))]
#[case(json!(65_536 + 12))]
#[case(json!("12"))]
fn a_tenure_that_is_no_small_integer_is_not_wrapped(#[case] document: Value) {
    assert!(from_value::<Tenure>(document).is_err());
}

#[rstest]
#[case(i64::MIN, false)]
#[case(-1, false)]
#[case(0, false)]
#[case(1, true)]
#[case(MAX_ID, true)]
#[case(MAX_ID + 1, false)]
#[case(i64::MAX, false)]
fn an_id_is_a_positive_integer_that_every_client_holds_exactly(#[case] id: i64, #[case] accepted: bool) {
    assert_eq!(MAX_ID, (1 << 53) - 1);
    assert_guarded(CustomerId::try_from(id), &json!(id));
    assert_guarded(LoanId::try_from(id), &json!(id));
    assert_guarded(DecisionId::try_from(id), &json!(id));
    assert_guarded(RepaymentId::try_from(id), &json!(id));
    match CustomerId::try_from(id) {
        Ok(customer) => assert!(accepted && customer.get() == id && customer.to_string() == id.to_string()),
        Err(refused) => {
            assert!(!accepted);
            assert_eq!(refused.to_string(), "must be an integer from 1 to 9007199254740991");
        }
    }
}
