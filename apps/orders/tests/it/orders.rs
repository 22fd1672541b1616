//! Making orders, moving them on, finding and listing them.

use std::collections::BTreeMap;

use forebay_stage::{On, on_both};
use serde_json::{Value, json};

use crate::{PERIOD, changed_stage, create, listed, number, numbers, quiet, some, stage, transit};

on_both! {
    or_1_an_order_is_written_and_cached,
    or_1_the_same_order_is_made_once,
    or_1_many_who_make_one_order_make_one,
    or_1_an_idempotency_key_stands_for_one_request,
    or_1_a_cache_that_fails_fails_nobody,
    or_11_an_order_goes_where_it_may_and_nowhere_else,
    or_11_of_many_who_move_an_order_one_does,
    or_13_lists_by_user_and_status_come_in_pages,
    or_13_totals_are_the_sums_of_the_rows,
    or_14_an_order_is_found_by_its_number_alone,
    figures_are_written_one_by_one,
}

async fn or_1_an_order_is_written_and_cached(on: On) {
    let stage = stage(on).await;
    let made = create(&stage, &number(1), "user123", "100.00").await;
    let order = format!(
        r#"{{"order_no":"{}","uid":"user123","period_number":"{PERIOD}","amount":100.00,"profit_amount":0.00,"like_count":0,"share_count":0,"follow_count":0,"favorite_count":0,"status":"pending","expire_time":"2024-12-01T10:05:00.000Z","created_at":"2024-12-01T10:00:00.000Z","updated_at":"2024-12-01T10:00:00.000Z"}}"#,
        number(1)
    );
    assert_eq!((made.status, made.body.as_str()), (201, order.as_str()));
    assert_eq!(stage.number("select count(*) from orders").await, 1);
    let held = stage.json(&format!("/api/v1/periods/{PERIOD}/cache/{}", number(1))).await;
    assert_eq!(held["cached"], true);
    let read = stage.get(&format!("/api/v1/periods/{PERIOD}/orders/{}", number(1))).await;
    assert_eq!(read.seen(), ("HIT", order.as_str()), "what is cached is what was made");
    assert!(!read.header("etag").is_empty() && !read.header("age").is_empty());
}

async fn or_1_the_same_order_is_made_once(on: On) {
    let stage = stage(on).await;
    let first = create(&stage, "A", "u", "1.00").await;
    let again = create(&stage, "A", "u", "1").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(again.body, first.body);
    let held = stage.json(&format!("/api/v1/periods/{PERIOD}/cache/A")).await;
    assert_eq!(held["cached"], true, "to ask again drops nothing");
    let other = create(&stage, "A", "u", "2.00").await;
    assert_eq!((other.status, other.problem().as_str()), (409, "order_exists"));
    assert_eq!(stage.number("select count(*) from orders").await, 1);
}

async fn or_1_many_who_make_one_order_make_one(on: On) {
    let stage = stage(on).await;
    let all: Vec<_> = (0..32).map(|_| create(&stage, "A", "u", "1.00")).collect();
    let mut answers = BTreeMap::new();
    for answer in self::all(all).await {
        *answers.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(answers, BTreeMap::from([(200, 31), (201, 1)]));
    assert_eq!(stage.number("select count(*) from orders").await, 1);
}

async fn or_1_an_idempotency_key_stands_for_one_request(on: On) {
    let stage = stage(on).await;
    let ask = async |key: &str, amount: &str| {
        let body = format!(r#"{{"uid": "u", "period_number": "{PERIOD}", "amount": {amount}}}"#);
        let headers = format!("Idempotency-Key: {key}\r\n");
        stage.send("POST", "/api/v1/orders/create", &headers, &body).await
    };
    let first = ask("k-1", "1.00").await;
    assert_eq!(first.status, 201);
    stage.wall.set(crate::TEN + 60_000);
    let again = ask("k-1", "1.00").await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (200, first.body.as_str()),
        "a minute later it is the same"
    );
    let other = ask("k-1", "2.00").await;
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency_key_reused"));
    assert_eq!(ask("k-2", "1.00").await.status, 201);
    let all: Vec<_> = (0..16).map(|_| ask("k-3", "3.00")).collect();
    let made: Vec<u16> =
        self::all(all).await.iter().map(|answer| answer.status).filter(|status| *status == 201).collect();
    assert_eq!(made.len(), 1, "of many at a time too");
    assert_eq!(stage.number("select count(*) from orders").await, 3);
    // The same is answered when nothing more can be made.
    assert_eq!(crate::step(&stage, "closed").await.status, 200);
    assert_eq!(ask("k-1", "1.00").await.status, 200);
    assert_eq!(ask("k-4", "1.00").await.problem(), "period_closed");
    let order_no = first.json()["order_no"].as_str().unwrap().to_owned();
    assert_eq!(stage.delete(&format!("/api/v1/orders/{order_no}")).await.status, 204);
    assert_eq!(ask("k-1", "1.00").await.problem(), "idempotency_key_spent");
}

/// What is read of the orders of `broken` cannot be encoded.
pub fn breaking(declaration: String) -> String {
    let shown = "order_no, uid, period_number, amount, profit_amount";
    let broken = "order_no, uid, period_number, case when uid = 'broken' then 'x' else amount end as amount, profit_amount";
    quiet(declaration.replace(shown, broken))
}

async fn or_1_a_cache_that_fails_fails_nobody(on: On) {
    let stage = changed_stage(on, breaking).await;
    let made = create(&stage, "A", "broken", "1.00").await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(stage.number("select count(*) from orders").await, 1);
    let held = stage.json(&format!("/api/v1/periods/{PERIOD}/cache/A")).await;
    assert_eq!(held["cached"], false);
    let failed = r#"forebay_app_events_total{keyspace="orders",app="orders",event="cache_failed"}"#;
    assert_eq!(crate::alarms::metric(&stage, failed).await, Some(1.0), "it is counted");
    assert_eq!(create(&stage, "B", "whole", "1.00").await.status, 201);
    let held = stage.json(&format!("/api/v1/periods/{PERIOD}/cache/B")).await;
    assert_eq!(held["cached"], true);
}

async fn or_11_an_order_goes_where_it_may_and_nowhere_else(on: On) {
    let stage = stage(on).await;
    let legal = [
        ("pending", "confirmed"),
        ("pending", "cancelled"),
        ("pending", "expired"),
        ("confirmed", "completed"),
        ("confirmed", "cancelled"),
    ];
    let names = ["pending", "confirmed", "completed", "cancelled", "expired"];
    for from in names {
        for to in names {
            let order_no = format!("{from}-{to}");
            assert_eq!(create(&stage, &order_no, "u", "1.00").await.status, 201);
            let way: &[&str] = match from {
                "completed" => &["confirmed", "completed"],
                "pending" => &[],
                other => &[other],
            };
            for status in way {
                assert_eq!(transit(&stage, &order_no, status).await.status, 200);
            }
            let answer = transit(&stage, &order_no, to).await;
            let now = stage.json(&format!("/api/v1/orders/{order_no}")).await["status"].clone();
            if legal.contains(&(from, to)) {
                assert_eq!(
                    (answer.status, answer.json()["status"].as_str(), now),
                    (200, Some(to), json!(to))
                );
            } else {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (409, "illegal_transition"),
                    "{order_no}"
                );
                assert_eq!((answer.json()["state"].as_str(), now), (Some(from), json!(from)), "{order_no}");
            }
        }
    }
    assert_eq!(transit(&stage, "nobody's", "confirmed").await.problem(), "order_unknown");
}

async fn or_11_of_many_who_move_an_order_one_does(on: On) {
    let stage = stage(on).await;
    create(&stage, "A", "u", "1.00").await;
    let all: Vec<_> =
        (0..24).map(|n| transit(&stage, "A", if n % 2 == 0 { "confirmed" } else { "expired" })).collect();
    let answers = self::all(all).await;
    let winners: Vec<&str> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.body.as_str()).collect();
    assert_eq!(winners.len(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
    assert_eq!(stage.get("/api/v1/orders/A").await.body, winners[0]);
}

async fn or_13_lists_by_user_and_status_come_in_pages(on: On) {
    let stage = stage(on).await;
    some(&stage, 7).await;
    transit(&stage, &number(1), "confirmed").await;
    transit(&stage, &number(4), "cancelled").await;
    let path = format!("/api/v1/periods/{PERIOD}/orders");
    let of = async |query: &str| numbers(&listed(&stage, &format!("{path}?{query}"), 2).await);
    assert_eq!(of("uid=odd").await, [1, 3, 5, 7].map(number));
    assert_eq!(of("status=pending").await, [2, 3, 5, 6, 7].map(number));
    assert_eq!(of("status=pending&uid=even").await, [2, 6].map(number));
    assert_eq!(of("status=confirmed").await, [1].map(number));
    assert_eq!(of("status=confirmed&uid=even").await, Vec::<String>::new());
    stage.wall.set(crate::TEN + 300_000);
    assert_eq!(of("status=pending").await, Vec::<String>::new(), "the time for paying is over");
    assert_eq!(of("status=expired").await, [2, 3, 5, 6, 7].map(number));
    assert_eq!(of("status=expired&uid=odd").await, [3, 5, 7].map(number));
    let all = listed(&stage, &path, 3).await;
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5, 6, 7].map(number), "each is on one page");
    let unknown = stage.get("/api/v1/periods/other/orders").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "period_unknown"));
}

async fn or_13_totals_are_the_sums_of_the_rows(on: On) {
    let stage = stage(on).await;
    let path = format!("/api/v1/periods/{PERIOD}/totals");
    let mut random = fastrand::Rng::with_seed(13);
    for n in 0..40 {
        let order_no = number(random.usize(1..12));
        match random.u8(0..5) {
            0 => drop(
                create(
                    &stage,
                    &order_no,
                    ["odd", "even"][n % 2],
                    &format!("{}.{:02}", random.u32(..99), random.u32(..100)),
                )
                .await,
            ),
            1 => drop(transit(&stage, &order_no, "confirmed").await),
            2 => drop(transit(&stage, &order_no, "cancelled").await),
            3 => {
                let profit = format!("{{\"profit_amount\": -{}.0{}}}", random.u32(..9), random.u32(..9));
                stage.send("PATCH", &format!("/api/v1/orders/{order_no}"), "", &profit).await;
            }
            _ => drop(stage.delete(&format!("/api/v1/orders/{order_no}")).await),
        }
        let orders = stage.number("select count(*) from orders").await;
        if orders == 0 {
            continue;
        }
        let hundredths =
            |json: &Value| -> i64 { format!("{:.0}", json.as_f64().unwrap() * 100.0).parse().unwrap() };
        let told = stage.json(&path).await;
        let amount = "select cast(sum(cast(replace(amount, '.', '') as bigint)) as bigint) from orders";
        let profit =
            "select cast(sum(cast(replace(profit_amount, '.', '') as bigint)) as bigint) from orders";
        assert_eq!(told["orders"], orders, "{told}");
        assert_eq!(hundredths(&told["amount"]), stage.number(amount).await, "{told}");
        assert_eq!(hundredths(&told["profit_amount"]), stage.number(profit).await, "{told}");
        let by_status = told["by_status"].as_object().unwrap();
        let sum: i64 = by_status.values().map(|status| hundredths(&status["amount"])).sum();
        assert_eq!(sum, hundredths(&told["amount"]), "{told}");
        let odd = stage.json(&format!("{path}?uid=odd")).await;
        let of_odd = "select count(*) from orders where uid = 'odd'";
        assert_eq!(odd["orders"], stage.number(of_odd).await, "{odd}");
    }
    let sum = stage
        .number("select cast(sum(cast(replace(amount, '.', '') as bigint)) as bigint) from orders")
        .await;
    let exact = stage.get(&path).await.body;
    let digits = format!(r#""amount":{}.{:02},"#, sum / 100, sum % 100);
    assert!(exact.contains(&digits), "digits as they are: {exact}");
}

async fn or_14_an_order_is_found_by_its_number_alone(on: On) {
    let stage = stage(on).await;
    create(&stage, "A", "u", "1.00").await;
    let found = stage.get("/api/v1/orders/A").await;
    assert_eq!((found.status, found.header("x-cache")), (200, "MISS"));
    assert_eq!(found.json()["period_number"], PERIOD);
    assert_eq!(stage.get("/api/v1/orders/A").await.header("x-cache"), "HIT");
    let missing = stage.get("/api/v1/orders/B").await;
    assert_eq!((missing.status, missing.problem().as_str()), (404, "order_unknown"));
    create(&stage, "B", "u", "1.00").await;
    assert_eq!(stage.get("/api/v1/orders/B").await.status, 200, "its absence was not remembered too long");
    let ninety =
        changed_stage(on, |text| quiet(text.replace("expires_after = \"5m\"", "expires_after = \"90s\"")))
            .await;
    let made = create(&ninety, "A", "u", "1.00").await.json();
    assert_eq!(made["expire_time"], "2024-12-01T10:01:30.000Z");
}

async fn figures_are_written_one_by_one(on: On) {
    let stage = stage(on).await;
    create(&stage, "A", "u", "1.00").await;
    let write = async |body: &str| stage.send("PATCH", "/api/v1/orders/A", "", body).await;
    assert_eq!(write(r#"{"like_count": 10, "profit_amount": "5.5"}"#).await.status, 200);
    let both = write(r#"{"share_count": 5}"#).await;
    assert!(both.body.contains(r#""profit_amount":5.50,"like_count":10,"share_count":5"#), "{both:?}");
    assert_eq!(stage.get("/api/v1/orders/A").await.body, both.body);
    assert_eq!(write("{}").await.problem(), "bad_request");
    assert_eq!(write(r#"{"like_count": -1}"#).await.problem(), "bad_request");
}

/// What all of them come to, each under way beside the others.
pub async fn all<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (work, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = work.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
