//! What the tables refuse, and that prices stay exact.

use crate::database;

#[tokio::test]
async fn prices_are_exact_and_keyed_by_symbol_and_currency() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let insert = "insert into prices (symbol, currency, price, last_update) values \
                  ('BTC', 'USD', '42500.50000000', 1706399900), ('BTC', 'EUR', '39000.10000000', 1706399900)";
    sqlx::query(insert).execute(database.sqlite().unwrap()).await.unwrap();
    let price: String =
        sqlx::query_scalar("select price from prices where (symbol, currency) in (values ('BTC', 'USD'))")
            .fetch_one(database.sqlite().unwrap())
            .await
            .unwrap();
    assert_eq!(price, "42500.50000000");
    let odd_case = sqlx::query(
        "insert into prices (symbol, currency, price, last_update) values ('btc', 'USD', '1', 1)",
    );
    assert!(odd_case.execute(database.sqlite().unwrap()).await.is_err(), "one symbol is not stored twice");
}

#[tokio::test]
async fn a_pool_belongs_to_a_project_and_ends_after_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let pool = |end: i64| {
        sqlx::query(
            "insert into ido_pool_cache (id, project_id, project_name, project_symbol, pool_name, token_price, total_tokens, \
             sale_start, sale_end, blockchain) values ('p', 'uniswap', 'Uniswap', 'UNI', 'Public', '0.05', '1000000', 100, ?, \
             'ethereum')",
        )
        .bind(end)
        .execute(database.sqlite().unwrap())
    };
    assert!(pool(200).await.is_err(), "no such project");
    sqlx::query(
        "insert into project_cache (id, name, symbol, slug) values ('uniswap', 'Uniswap', 'UNI', 'uniswap')",
    )
    .execute(database.sqlite().unwrap())
    .await
    .unwrap();
    assert!(pool(100).await.is_err(), "no time to sell");
    pool(200).await.unwrap();
}
