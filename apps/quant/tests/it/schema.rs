//! What the tables refuse.

use crate::database;

#[tokio::test]
async fn a_symbol_names_its_code_and_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let insert = |symbol: &'static str, exchange: &'static str, kind: &'static str| {
        sqlx::query(
            "insert into symbols_info (symbol, exchange, code, name, kind) values (?, ?, '000001', '', ?)",
        )
        .bind(symbol)
        .bind(exchange)
        .bind(kind)
        .execute(database.sqlite().unwrap())
    };
    insert("000001.SH", "SH", "index").await.unwrap();
    insert("000001.SZ", "SZ", "stock").await.unwrap();
    assert!(insert("sh000001", "SH", "index").await.is_err());
    assert!(insert("000001.SH", "SH", "index").await.is_err());
}

#[tokio::test]
async fn data_belongs_to_a_symbol_and_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    let insert = |content: &'static str| {
        sqlx::query("insert into market_data (symbol, data_type, content, as_of) values ('600000.SH', 'fund_flow', ?, '')")
            .bind(content)
            .execute(database.sqlite().unwrap())
    };
    assert!(insert("{}").await.is_err(), "no such symbol");
    sqlx::query(
        "insert into symbols_info (symbol, exchange, code, name, kind) values ('600000.SH', 'SH', '600000', '', 'stock')",
    )
    .execute(database.sqlite().unwrap())
    .await
    .unwrap();
    assert!(insert("{").await.is_err(), "no JSON");
    insert(r#"{"net": -12}"#).await.unwrap();
}
