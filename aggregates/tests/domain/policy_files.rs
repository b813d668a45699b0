//! Policy files: the shipped ones are read and identified by their text; one that contradicts itself names the field.

use std::error::Error;

use aggregates::policy::{Policy, PolicyError};
use rstest::rstest;
use sha2::{Digest, Sha256};

use crate::support::{decimal, literal, rate, standard};

const STANDARD_1: &str = include_str!("../../../policies/standard-1.toml");
const LITERAL_1: &str = include_str!("../../../policies/literal-1.toml");

#[test]
fn both_shipped_policies_are_read() {
    let ids: Vec<String> = Policy::shipped().unwrap().iter().map(|policy| policy.reference().id.clone()).collect();
    assert_eq!(ids, ["standard-1", "literal-1"]);
}

/// A policy is never edited once a decision was taken under it: whoever changes a file has to give it another name.
#[rstest]
#[case("standard-1", STANDARD_1, "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce")]
#[case("literal-1", LITERAL_1, "c53281f2125cc5e63bd22f7456541a568aaab4ee65fe5c1a3115a8c7c2912c43")]
fn a_shipped_policy_is_its_text(#[case] id: &str, #[case] text: &str, #[case] digest: &str) {
    let policy = Policy::parse(text).unwrap();
    assert_eq!((policy.reference().id.as_str(), policy.reference().digest.as_str()), (id, digest));
    assert!(Policy::shipped().unwrap().contains(&policy));
}

#[rstest]
#[case(STANDARD_1.to_owned())]
#[case(LITERAL_1.to_owned())]
#[case(format!("{STANDARD_1}\n"))]
fn a_digest_is_the_sha_256_of_the_file(#[case] text: String) {
    let expected: Vec<String> = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Policy::parse(&text).unwrap().reference().digest, expected.concat());
}

#[test]
fn the_smallest_change_changes_the_digest() {
    let commented = Policy::parse(&format!("{STANDARD_1}#\n")).unwrap();
    assert_eq!(commented.reference().id, standard().reference().id);
    assert_ne!(commented.reference().digest, standard().reference().digest);
    assert_ne!(literal().reference().digest, standard().reference().digest);
}

/// The shipped policy with one line changed.
fn changed(line: &str, into: &str) -> String {
    assert_eq!(STANDARD_1.matches(line).count(), 1, "the line '{line}' stands in the file once");
    STANDARD_1.replace(line, into)
}

#[rstest]
#[case::empty_id("id = \"standard-1\"", "id = \"\"", "id")]
#[case::id_with_a_space("id = \"standard-1\"", "id = \"standard 1\"", "id")]
#[case::id_with_a_slash("id = \"standard-1\"", "id = \"../standard\"", "id")]
#[case::long_id(
    "id = \"standard-1\"",
    "id = \"a-policy-whose-name-says-all-that-there-is-to-say-about-it-and-more-1\"",
    "id"
)]
#[case::id_beyond_ascii("id = \"standard-1\"", "id = \"standärd-1\"", "id")]
#[case::weights_below_100("on_time = 40", "on_time = 39", "weights")]
#[case::weights_over_100("on_time = 40", "on_time = 41", "weights")]
#[case::weights_that_would_wrap("on_time = 40", "on_time = 255", "weights")]
#[case::fixed_score("without_loans = 50", "without_loans = 101", "score.without_loans")]
#[case::nothing_due("nothing_due_percent = 50", "nothing_due_percent = 101", "score.nothing_due_percent")]
#[case::loss(
    "loss_per_loan_this_year_percent = 25",
    "loss_per_loan_this_year_percent = 101",
    "score.loss_per_loan_this_year_percent"
)]
#[case::income_share(
    "instalments_percent_of_income = 50",
    "instalments_percent_of_income = 101",
    "caps.instalments_percent_of_income"
)]
#[case::track_record("full_track_record_loans = 5", "full_track_record_loans = 0", "score.full_track_record_loans")]
#[case::floors_in_disorder("score_above = 30", "score_above = 51", "floors")]
#[case::the_same_floor_twice("score_above = 30", "score_above = 50", "floors")]
#[case::a_lower_rate_for_a_lower_score("minimum_rate = \"16\"", "minimum_rate = \"11.9999\"", "floors")]
fn a_contradiction_names_its_field(#[case] line: &str, #[case] into: &str, #[case] expected: &str) {
    match Policy::parse(&changed(line, into)) {
        Err(PolicyError::Contradiction { field, problem }) => {
            assert_eq!(field, expected);
            assert!(!problem.is_empty());
        }
        other => panic!("expected a contradiction in {expected}, not {other:?}"),
    }
}

#[test]
fn a_contradiction_reads_as_field_and_problem() {
    let refused = Policy::parse(&changed("on_time = 40", "on_time = 255")).unwrap_err();
    assert_eq!(refused.to_string(), "weights: must sum to 100, not 315");
}

#[test]
fn a_policy_without_floors_lends_to_nobody_and_is_none() {
    let (head, _) = STANDARD_1.split_once("[[floors]]").unwrap();
    let without = head.replace("[weights]", "floors = []\n[weights]");
    let refused = Policy::parse(&without).unwrap_err();
    assert_eq!(refused.to_string(), "floors: must name at least one");
}

#[rstest]
#[case::missing("without_loans = 50", "", "without_loans")]
#[case::unknown("without_loans = 50", "without_loans = 50\nwithout_lones = 50", "without_lones")]
#[case::unknown_at_the_top("id = \"standard-1\"", "id = \"standard-1\"\nname = \"x\"", "name")]
#[case::a_section_that_is_missing("[caps]", "[cap]", "cap")]
#[case::wrong_type("count_requested_loan = true", "count_requested_loan = \"true\"", "count_requested_loan")]
#[case::negative("on_time = 40", "on_time = -40", "on_time")]
#[case::a_fraction("on_time = 40", "on_time = 40.5", "on_time")]
#[case::too_large_for_its_type("on_time = 40", "on_time = 296", "on_time")]
#[case::a_rate_beyond_its_bound("minimum_rate = \"16\"", "minimum_rate = \"100.0001\"", "minimum_rate")]
#[case::a_rate_below_its_bound("minimum_rate = \"16\"", "minimum_rate = \"-1\"", "minimum_rate")]
#[case::twice("on_time = 40", "on_time = 40\non_time = 40", "on_time")]
#[case::not_toml("on_time = 40", "on_time 40", "on_time")]
fn a_file_that_cannot_be_read_points_at_the_line(#[case] line: &str, #[case] into: &str, #[case] named: &str) {
    let refused = Policy::parse(&changed(line, into)).unwrap_err();
    assert!(matches!(refused, PolicyError::Syntax(_)), "{refused:?}");
    assert_eq!(refused.to_string(), "the policy file cannot be read");
    let why = refused.source().expect("a source").to_string();
    assert!(why.contains(named), "{why}");
    let line = refused.in_one_line();
    assert!(line.starts_with("line ") && line.contains(named) && !line.contains('\n'), "{line}");
}

#[rstest]
#[case::of_another_type("on_time = 40", "on_time = \"40\"", "line 10, weights.on_time: ")]
#[case::in_a_list("minimum_rate = \"12\"", "minimum_rate = \"112\"", "line 36, floors[1].minimum_rate: ")]
fn a_field_is_named_with_its_place(#[case] line: &str, #[case] into: &str, #[case] expected: &str) {
    let refused = Policy::parse(&changed(line, into)).unwrap_err();
    assert!(refused.in_one_line().starts_with(expected), "{}", refused.in_one_line());
}

#[test]
fn the_edges_of_every_bound_are_a_policy() {
    let text = changed("instalments_percent_of_income = 50", "instalments_percent_of_income = 100")
        .replace("without_loans = 50", "without_loans = 100")
        .replace("nothing_due_percent = 50", "nothing_due_percent = 0")
        .replace("full_track_record_loans = 5", "full_track_record_loans = 1")
        .replace("loss_per_loan_this_year_percent = 25", "loss_per_loan_this_year_percent = 100")
        .replace("minimum_rate = \"12\"", "minimum_rate = \"100\"")
        .replace("minimum_rate = \"16\"", "minimum_rate = \"100\"");
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.minimum_rate(decimal("30")), Some(rate("100")));
    assert_eq!(policy.minimum_rate(decimal("50.01")), Some(rate("0")));
}
