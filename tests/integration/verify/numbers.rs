//! Reserved phone numbers are those that customers have now, and all of them.

use std::time::Duration;

use super::Data;
use crate::support::process::run;
use crate::support::sql::execute;
use crate::support::verified::findings;

/// Longer than what is told of as slow.
const LONG: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_missing_wrong_or_stale_is_found() {
    let data = Data::new().await;
    let (customer, other) = (data.customer, data.other);
    data.finds(
        &format!("delete from phone_numbers where customer_id = {customer}"),
        &format!("phone numbers, customer {customer}: its number is not reserved"),
    )
    .await;
    let given_away = format!("update phone_numbers set customer_id = {other} where customer_id = {customer}");
    data.finds(&given_away, &format!("customer {customer}: its number is reserved for customer {other}")).await;
    data.finds(&given_away, &format!("customer {other}: a number is reserved for it that is not its own")).await;
    data.finds(
        &format!("insert into phone_numbers values ('0000000000', {customer})"),
        &format!("customer {customer}: a number is reserved for it that is not its own"),
    )
    .await;
    data.finds("insert into phone_numbers values ('0000000000', 999999)", "customer 999999: a number is reserved")
        .await;
    // There are several pages of these.
    execute(
        &data.pool,
        "insert into phone_numbers select 'stale-' || number, 999999 from generate_series(1, 2500) number",
    )
    .await;
    assert_eq!(findings(&data.pool).await.differences, 2500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_nothing_of_statements_that_take_long_unless_asked() {
    const SLOW: &str = "slow statement";
    let data = Data::new().await;
    for (arguments, tells) in [(&["verify"][..], false), (&["verify", "--log-filter", "sqlx=debug"], true)] {
        let mut holding = data.pool.begin().await.unwrap();
        sqlx::query("lock table phone_numbers in access exclusive mode").execute(&mut *holding).await.unwrap();
        let releasing = async {
            tokio::time::sleep(LONG).await;
            holding.rollback().await.unwrap();
        };
        let (ran, ()) = tokio::join!(run(&data.config, arguments), releasing);
        assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
        assert_eq!(ran.complained.contains(SLOW), tells, "{}", ran.complained);
        assert!(!ran.complained.contains("WARN"), "{}", ran.complained);
    }
}
