//! What the table refuses, and that money stays exact.

use crate::database;

async fn insert(
    database: &forebay_stores::database::Database,
    order_no: &str,
    status: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into orders (order_no, uid, period_number, amount, status, expire_time, created_at, updated_at) \
         values (?, 'user123', '20241201_001', '100.00', ?, '2024-12-01T10:05:00Z', '2024-12-01T10:00:00Z', \
         '2024-12-01T10:00:00Z')",
    )
    .bind(order_no)
    .bind(status)
    .execute(database.sqlite().unwrap())
    .await
    .map(|_| ())
}

#[tokio::test]
async fn an_order_number_is_unique_and_a_status_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    insert(&database, "ORDER_20241201_001_001", "pending").await.unwrap();
    assert!(insert(&database, "ORDER_20241201_001_001", "pending").await.is_err());
    assert!(insert(&database, "ORDER_20241201_001_002", "paid").await.is_err());
    let amount: String =
        sqlx::query_scalar("select amount from orders where period_number in ('20241201_001')")
            .fetch_one(database.sqlite().unwrap())
            .await
            .unwrap();
    assert_eq!(amount, "100.00");
}
