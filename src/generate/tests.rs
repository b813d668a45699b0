//! The same seed gives the same files, and what is drawn keeps its promises.

use std::collections::HashMap;

use super::*;

fn bytes(spec: GenerateSpec) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let files = generate(dir.path(), spec).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
    (std::fs::read(files.customers).unwrap(), std::fs::read(files.loans).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let spec = GenerateSpec { customers: 40, loans: 90, seed: 7, ids_above: 0 };
    let first = bytes(spec);
    assert!(first == bytes(spec));
    assert!(first != bytes(GenerateSpec { seed: 8, ..spec }));
}

#[test]
fn what_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused =
        |customers, loans| generate(dir.path(), GenerateSpec { customers, loans, seed: 1, ids_above: 0 }).unwrap_err();
    assert!(matches!(refused(MAX_ROWS + 1, 0), GenerateError::TooMany { what: "customers", .. }));
    assert!(matches!(refused(1, MAX_ROWS + 1), GenerateError::TooMany { what: "loans", .. }));
    assert!(matches!(refused(0, 1), GenerateError::LoansWithoutCustomers));
    assert!(generate(dir.path(), GenerateSpec { customers: 0, loans: 0, seed: 1, ids_above: 0 }).is_ok());
}

#[test]
fn shares_add_up() {
    for (loans, customers) in [(0, 5), (3, 1_000), (782, 300), (5_000, 7), (9, 1)] {
        let mut draw = Draw::new(3, Stream::Counts);
        let mut left = loans;
        for customer in 0..customers {
            left -= draw.share(left, customers - customer);
        }
        assert_eq!(left, 0, "{loans} loans of {customers} customers");
    }
}

#[test]
fn phone_numbers_are_unique_and_few_loan_ids_stand_on_two_loans() {
    let spec = GenerateSpec { customers: 5_000, loans: 13_000, seed: 1, ids_above: 0 };
    let people = People::new(spec.seed);
    let mut phones: Vec<u64> = (1..=spec.customers).map(|n| people.person(n).unwrap().phone_number).collect();
    assert!(phones.iter().all(|phone| (6_000_000_000..10_000_000_000).contains(phone)));
    phones.sort_unstable();
    phones.dedup();
    assert_eq!(phones.len(), 5_000);

    let mut ids = LoanIds::new(spec);
    let mut holders: HashMap<u64, Vec<u32>> = HashMap::new();
    for loan in 0..spec.loans {
        let customer = loan / 3;
        holders.entry(ids.next(customer)).or_default().push(customer);
    }
    let shared: Vec<_> = holders.values().filter(|customers| customers.len() > 1).collect();
    assert!(shared.iter().all(|customers| customers.len() == 2 && customers[0] != customers[1]));
    assert_eq!(shared.len(), 433);
}

#[test]
fn loans_are_within_the_years_and_mostly_within_the_limit() {
    let (people, closing) = (People::new(5), NaiveDate::from_ymd_opt(2025, 1, 1).unwrap());
    let mut above = 0;
    for customer in 1..=500 {
        let (person, mut current) = (people.person(customer).unwrap(), 0);
        let mut draw = Draw::new(5, Stream::Loans(customer));
        let mut total = Decimal::ZERO;
        for _ in 0..5 {
            let loan = Loan::draw(&mut draw, &person, &mut current).unwrap();
            assert!(loan.started_on.year() >= 2010 && loan.started_on < closing && loan.ends_on > loan.started_on);
            assert!((3..=180).contains(&loan.tenure.months()) && loan.paid_on_time <= loan.tenure.months());
            total += if loan.ends_on >= closing { loan.principal.money().amount() } else { Decimal::ZERO };
        }
        above += u32::from(total > person.limit.amount());
    }
    assert!(above < 50, "{above} of 500 customers owe more than their limit");
}
