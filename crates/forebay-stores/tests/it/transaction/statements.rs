//! Statements that both kinds of database take as they are, and their answers.

use forebay_stores::database::{DatabaseError, Dialect, Statement};

use super::{SCHEMA, World, on_both};

on_both! {
    parameters_are_bound_by_their_numbers
    nothing_that_is_bound_becomes_part_of_a_statement
    what_a_column_has_is_asked_for_by_its_name
    a_statement_in_a_transaction_invalidates_what_it_changed
}

const ADD: &str = "insert into prices (code, price, note) values ($1, $2, $3)";

async fn parameters_are_bound_by_their_numbers(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let done = world.database.transaction(async |tx| {
        let added = tx.execute(Statement::new(ADD).bind("n").bind(7).bind("seven")).await?;
        let doubled =
            Statement::new("update prices set price = price * $2 + $2 where code = $1").bind("n").bind(10);
        Ok::<_, DatabaseError>((added, tx.execute(doubled).await?))
    });
    assert_eq!(done.await.unwrap().value, (1, 1));
    let rows = world.database.rows(Statement::new("select price from prices where note = $1").bind("seven"));
    let prices: Vec<i64> = rows.await.unwrap().iter().map(|row| row.get("price").unwrap()).collect();
    assert_eq!(prices, [80]);
}

async fn nothing_that_is_bound_becomes_part_of_a_statement(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let odd = "'; delete from prices; --";
    let add = Statement::new(ADD).bind(odd).bind(1).bind(None::<String>);
    world.database.transaction(async |tx| tx.execute(add).await).await.unwrap();
    let all = Statement::new("select code from prices order by code");
    let rows = world.database.rows(all).await.unwrap();
    let codes: Vec<String> = rows.iter().map(|row| row.get("code").unwrap()).collect();
    assert_eq!(codes, [odd, "a", "b", "c"]);
}

async fn what_a_column_has_is_asked_for_by_its_name(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    let done = world.database.transaction(async |tx| {
        tx.execute(Statement::new(ADD).bind("n").bind(7).bind(None::<String>)).await?;
        tx.rows(
            Statement::new("select code, price, note from prices where code in ($1, $2)").bind("n").bind("-"),
        )
        .await
    });
    let rows = done.await.unwrap().value;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(row.get_nullable::<String>("code").unwrap().as_deref(), Some("n"));
    assert_eq!(row.get_nullable::<String>("note").unwrap(), None);
    assert!(row.get::<String>("note").is_err(), "null is no text");
    assert!(row.get::<String>("price").is_err(), "a number is no text");
    assert!(row.get::<i64>("cost").unwrap_err().to_string().contains("cost"));
    assert!(world.database.rows(Statement::new("select cost from prices")).await.is_err());
}

async fn a_statement_in_a_transaction_invalidates_what_it_changed(dialect: Dialect) {
    let world = World::on(dialect, SCHEMA).await;
    assert_eq!(world.get("a").await, Some(1));
    let raise = Statement::new("update prices set price = $1 where code = $2").bind(5).bind("a");
    world.database.transaction(async |tx| tx.execute(raise).await).await.unwrap();
    assert_eq!(world.get("a").await, Some(5));
}
