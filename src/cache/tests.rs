//! What may answer, and what may not.

use rust_decimal::Decimal;

use aggregates::ids::LoanId;
use aggregates::money::Money;
use aggregates::person::MonthlyIncome;
use aggregates::profile::LoanRecord;
use aggregates::terms::{Principal, Tenure};
use chrono::NaiveDate;

use super::*;

/// Of partition 1, both of them, and of another one.
const CUSTOMER: i64 = 1;
const NEIGHBOUR: i64 = 9;
const STRANGER: i64 = 2;

fn id(customer: i64) -> CustomerId {
    CustomerId::try_from(customer).unwrap()
}

fn place(customer: i64, position: i64) -> LogPlace {
    LogPlace { partition: Partition::of(id(customer)), position }
}

/// A profile by whose income its version can be told.
fn profile(income: i64) -> CreditProfile {
    let monthly_income = MonthlyIncome::try_from(Decimal::from(income)).unwrap();
    CreditProfile::new(monthly_income, Money::try_from(Decimal::from(1_800_000)).unwrap())
}

fn found(income: i64, position: i64) -> Found {
    Found { profile: profile(income), position, parked: 0 }
}

fn unfollowed(capacity_bytes: u64) -> Arc<ProfileCache> {
    ProfileCache::new(capacity_bytes, Lives::default(), &Metrics::default())
}

/// Followed from position 10 on, at which every partition ends.
fn followed(capacity_bytes: u64) -> Arc<ProfileCache> {
    let cache = unfollowed(capacity_bytes);
    let last: Vec<_> = Partition::all().map(|partition| (partition, 10)).collect();
    cache.follow_from(10, &last);
    seen(&cache);
    cache
}

fn seen(cache: &ProfileCache) {
    cache.saw_log(Instant::now());
    cache.saw_read_models(Instant::now());
}

impl ProfileCache {
    fn keep_now(&self, customer: i64, found: Found) {
        self.keep(id(customer), self.era(), found);
    }

    /// The income in what is answered without a token.
    fn income(&self, customer: i64) -> Option<i64> {
        self.income_with(customer, None)
    }

    fn income_with(&self, customer: i64, token: Option<LogPlace>) -> Option<i64> {
        let profile = self.get(id(customer), token)?;
        let incomes = 50_000..50_100;
        incomes.into_iter().find(|income| *profile == super::tests::profile(*income))
    }

    fn touch(&self, customer: i64, position: i64) {
        self.follow(&[Touched { position, customer_id: customer }], position);
        seen(self);
    }
}

#[test]
fn nothing_is_kept_before_the_log_is_followed_or_once_it_is_lost() {
    let cache = unfollowed(1 << 20);
    seen(&cache);
    cache.keep_now(CUSTOMER, found(50_000, i64::MAX - 1));
    assert_eq!(cache.income(CUSTOMER), None);

    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    assert_eq!(cache.income(CUSTOMER), Some(50_000));
    cache.lose_log();
    seen(&cache);
    assert_eq!(cache.income(CUSTOMER), None, "what was kept is gone");
    cache.keep_now(CUSTOMER, found(50_000, 10));
    assert_eq!(cache.income(CUSTOMER), None);
}

#[test]
fn what_lacks_an_event_from_before_the_start_is_not_kept() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 9));
    assert_eq!(cache.income(CUSTOMER), None);
}

#[test]
fn an_event_removes_what_ends_before_it() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    cache.keep_now(NEIGHBOUR, found(50_001, 12));
    cache.touch(NEIGHBOUR, 12);
    assert_eq!((cache.income(CUSTOMER), cache.income(NEIGHBOUR)), (Some(50_000), Some(50_001)));
    cache.touch(CUSTOMER, 13);
    assert_eq!((cache.income(CUSTOMER), cache.income(NEIGHBOUR)), (None, Some(50_001)));
}

#[test]
fn what_was_read_before_an_event_and_comes_in_after_it_is_not_kept() {
    let cache = followed(1 << 20);
    let era = cache.era();
    cache.touch(CUSTOMER, 13);
    cache.keep(id(CUSTOMER), era, found(50_000, 12));
    assert_eq!(cache.income(CUSTOMER), None);
    cache.keep(id(CUSTOMER), era, found(50_001, 13));
    assert_eq!(cache.income(CUSTOMER), Some(50_001));
}

#[test]
fn what_was_read_earlier_never_takes_the_place_of_what_was_read_later() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_001, 12));
    cache.keep_now(CUSTOMER, found(50_000, 11));
    assert_eq!(cache.income(CUSTOMER), Some(50_001));
    cache.keep_now(CUSTOMER, found(50_002, 13));
    assert_eq!(cache.income(CUSTOMER), Some(50_002));
}

#[test]
fn a_token_is_answered_if_its_place_was_applied_or_followed() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 20));
    let with = |token| cache.income_with(CUSTOMER, Some(token));
    assert_eq!(with(place(CUSTOMER, 20)), Some(50_000), "the entry goes as far");
    assert_eq!(with(place(CUSTOMER, 21)), None, "nobody knows what is there");
    assert_eq!(with(place(STRANGER, 20)), None, "the entry says nothing of another partition");
    cache.touch(STRANGER, 21);
    for token in [place(CUSTOMER, 21), place(STRANGER, 21), place(STRANGER, 20)] {
        assert_eq!(with(token), Some(50_000), "what is there is about others");
    }
    assert_eq!(with(place(CUSTOMER, i64::MAX)), None);
}

#[test]
fn what_this_process_has_answered_counts_as_a_token_of_every_request() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    cache.keep_now(STRANGER, found(50_001, 10));
    cache.answered(place(NEIGHBOUR, 14));
    cache.answered(place(NEIGHBOUR, 11));
    assert_eq!((cache.income(CUSTOMER), cache.income(STRANGER)), (None, Some(50_001)));
    cache.touch(NEIGHBOUR, 14);
    assert_eq!(cache.income(CUSTOMER), Some(50_000));
}

#[test]
fn where_somebody_is_parked_nothing_is_kept() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, Found { parked: 1, ..found(50_000, 10) });
    assert_eq!(cache.income(CUSTOMER), None);
}

#[test]
fn once_rows_were_replaced_nothing_from_before_answers_also_what_was_being_read() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    let era = cache.era();
    cache.forget();
    assert_eq!(cache.income(CUSTOMER), None);
    cache.keep(id(CUSTOMER), era, found(50_000, 10));
    assert_eq!(cache.income(CUSTOMER), None);
    cache.keep_now(CUSTOMER, found(50_001, 10));
    assert_eq!(cache.income(CUSTOMER), Some(50_001), "and the log goes on being followed");
}

#[test]
fn nothing_is_answered_once_the_log_or_the_read_models_are_out_of_sight() {
    let cache = followed(1 << 20);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    std::thread::sleep(LOG_SEEN_WITHIN + Duration::from_millis(20));
    assert_eq!(cache.income(CUSTOMER), None);
    cache.saw_log(Instant::now());
    assert_eq!(cache.income(CUSTOMER), Some(50_000), "seen again, nothing having happened");
    cache.lose_read_models();
    assert_eq!(cache.income(CUSTOMER), None);
    cache.keep_now(CUSTOMER, found(50_000, 10));
    assert_eq!(cache.income(CUSTOMER), None, "they are not watched");
    cache.saw_read_models(Instant::now());
    assert_eq!(cache.income(CUSTOMER), Some(50_000));
}

fn loan(id: i64) -> LoanRecord {
    let day = NaiveDate::from_ymd_opt(2026, 1, 15).unwrap();
    LoanRecord {
        loan_id: LoanId::try_from(id).unwrap(),
        principal: Principal::try_from(Decimal::from(100_000)).unwrap(),
        instalment: Money::try_from(Decimal::from(8_884)).unwrap(),
        tenure: Tenure::try_from(12).unwrap(),
        started_on: day,
        ends_on: day,
        instalments_paid_on_time: 0,
        settled_on: None,
        written_off_on: None,
    }
}

#[test]
fn however_many_are_read_they_take_no_more_room_than_is_set_aside() {
    const CAPACITY_BYTES: u64 = 1 << 20;
    let cache = followed(CAPACITY_BYTES);
    for customer in 1..=20_000 {
        let mut found = found(50_000, 10);
        found.profile.loans = (1..=customer % 20).map(loan).collect();
        cache.keep_now(customer, found);
    }
    cache.entries.run_pending_tasks();
    let (bytes, entries) = (cache.entries.weighted_size(), cache.entries.entry_count());
    assert!(bytes <= CAPACITY_BYTES, "{bytes}");
    assert!(bytes > CAPACITY_BYTES / 2, "room is used: {bytes}");
    assert!(cache.counts.evictions.get() >= 20_000 - entries, "{entries}");
    let held: Vec<i64> = (1..=20_000).filter(|customer| cache.income(*customer).is_some()).collect();
    assert!(u64::try_from(held.len()).unwrap() <= entries);
}

#[test]
fn a_profile_weighs_what_its_loans_weigh() {
    let mut with_loans = profile(50_000);
    with_loans.loans = (1..=100).map(loan).collect();
    let era = unfollowed(0).era();
    let (empty, full) = (Entry::new(profile(50_000), 1, era).bytes(), Entry::new(with_loans, 1, era).bytes());
    assert_eq!(usize::try_from(full - empty).unwrap(), 100 * size_of::<LoanRecord>());
}
