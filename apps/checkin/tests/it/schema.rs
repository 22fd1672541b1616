//! The views that compute streaks, boards and stock.

use forebay_stores::database::Database;

use crate::database;

async fn check_in(database: &Database, user: &str, days: &[&str]) {
    sqlx::query("insert into users (user_id, username, created_at) values (?, ?, '2024-01-01T00:00:00Z')")
        .bind(user)
        .bind(user)
        .execute(database.sqlite().unwrap())
        .await
        .unwrap();
    for day in days {
        sqlx::query("insert into check_ins (user_id, day, checked_at) values (?, ?, ? || 'T01:00:00Z')")
            .bind(user)
            .bind(day)
            .bind(day)
            .execute(database.sqlite().unwrap())
            .await
            .unwrap();
    }
}

type Stats = (i64, String, i64, i64, i64);

async fn stats(database: &Database, user: &str) -> Stats {
    sqlx::query_as(
        "select total_check_ins, last_day, last_streak, longest_streak, points from user_stats where user_id in (?)",
    )
    .bind(user)
    .fetch_one(database.sqlite().unwrap())
    .await
    .unwrap()
}

#[tokio::test]
async fn streaks_cross_months_years_and_leap_days() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    check_in(&database, "leap", &["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03"]).await;
    check_in(&database, "year", &["2024-12-30", "2024-12-31", "2025-01-01"]).await;
    check_in(&database, "no_leap", &["2023-02-28", "2023-03-01"]).await;
    sqlx::query(
        "insert into points values ('1', 'leap', 10, 'check-in', ''), ('2', 'leap', -3, 'make-up', '')",
    )
    .execute(database.sqlite().unwrap())
    .await
    .unwrap();
    assert_eq!(stats(&database, "leap").await, (4, "2024-03-03".to_owned(), 1, 3, 7));
    assert_eq!(stats(&database, "year").await, (3, "2025-01-01".to_owned(), 3, 3, 0));
    assert_eq!(stats(&database, "no_leap").await, (2, "2023-03-01".to_owned(), 2, 2, 0));
}

async fn board(database: &Database, name: &str) -> Vec<String> {
    sqlx::query_scalar("select member from rankings where day in (?) order by score desc, member")
        .bind(name)
        .fetch_all(database.sqlite().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn boards_rank_a_day_a_week_a_month_and_streaks() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    check_in(&database, "late", &["2024-12-30", "2024-12-31", "2025-01-02"]).await;
    check_in(&database, "early", &["2024-12-30", "2025-01-03"]).await;
    sqlx::query("update check_ins set checked_at = '2024-12-30T00:59:59.999Z' where user_id = 'early' and day = '2024-12-30'")
        .execute(database.sqlite().unwrap())
        .await
        .unwrap();
    assert_eq!(board(&database, "2024-12-30").await, ["early", "late"]);
    assert_eq!(board(&database, "2025-W01").await, ["late", "early"], "an ISO week crosses the year");
    assert_eq!(board(&database, "2024-12").await, ["late", "early"]);
    assert_eq!(board(&database, "streak").await, ["late", "early"]);
}

#[tokio::test]
async fn one_check_in_a_day_and_stock_is_what_is_unissued() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    check_in(&database, "one", &["2024-12-30"]).await;
    let twice =
        sqlx::query("insert into check_ins (user_id, day, checked_at) values ('one', '2024-12-30', '')");
    assert!(twice.execute(database.sqlite().unwrap()).await.is_err());
    sqlx::query(
        "insert into redeem_codes (code_hash, face_value, state) \
         values ('a', '5.00', 'unissued'), ('b', '5.00', 'issued'), ('c', '5.00', 'unissued'), ('d', '1.00', 'void')",
    )
    .execute(database.sqlite().unwrap())
    .await
    .unwrap();
    let stock: Vec<(String, i64)> =
        sqlx::query_as("select face_value, unissued from code_inventory order by 1")
            .fetch_all(database.sqlite().unwrap())
            .await
            .unwrap();
    assert_eq!(stock, [("1.00".to_owned(), 0), ("5.00".to_owned(), 2)], "an empty stock is 0, not missing");
}
