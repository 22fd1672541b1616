//! Periods have a life of their own.

use forebay_stage::{On, on_both};

use crate::{PERIOD, changed_stage, create, number, quiet, some, stage, step};

on_both! {
    or_12_a_period_goes_one_way,
    or_12_no_order_is_made_after_close,
    or_12_periods_may_have_to_be_announced,
    periods_are_listed_in_pages,
    an_archived_period_is_not_held,
}

async fn or_12_a_period_goes_one_way(on: On) {
    let stage = stage(on).await;
    create(&stage, "A", "u", "1.00").await;
    let path = format!("/api/v1/periods/{PERIOD}");
    assert_eq!(stage.json(&path).await["state"], "open");
    let life = ["open", "closed", "drawn", "settled", "archived"];
    for (at, now) in life.iter().enumerate() {
        for (to, next) in life.iter().enumerate() {
            if to == at + 1 {
                continue;
            }
            let refused = step(&stage, next).await;
            assert_eq!((refused.status, refused.problem().as_str()), (409, "illegal_step"), "{now} {next}");
            assert_eq!(refused.json()["state"], *now);
        }
        if let Some(next) = life.get(at + 1) {
            assert_eq!(step(&stage, next).await.json()["state"], *next);
            assert_eq!(stage.json(&path).await["state"], *next, "what is read is what was written");
        }
    }
}

async fn or_12_no_order_is_made_after_close(on: On) {
    let stage = stage(on).await;
    create(&stage, "first", "u", "1.00").await;
    let names: Vec<String> = (0..40).map(number).collect();
    let makers = names.iter().map(|order_no| async {
        let answer = create(&stage, order_no, "u", "1.00").await;
        (order_no.clone(), answer)
    });
    let closed = async {
        let closed = step(&stage, "closed").await;
        (closed, stage.number("select count(*) from orders").await)
    };
    let (answers, (closed, when_closed)) = tokio::join!(crate::orders::all(makers.collect()), closed);
    assert_eq!(closed.status, 200);
    let closed_at = closed.json()["updated_at"].as_str().unwrap().to_owned();
    assert_eq!(closed_at, "2024-12-01T10:00:00.000Z");
    let made = answers.iter().filter(|(_, answer)| answer.status == 201).count();
    for (order_no, answer) in &answers {
        assert!(answer.status == 201 || answer.problem() == "period_closed", "{order_no}: {answer:?}");
    }
    let orders = stage.number("select count(*) from orders").await;
    assert_eq!(orders, when_closed, "none was made after it was closed");
    assert_eq!(orders, i64::try_from(made).unwrap() + 1);
    let late = create(&stage, "late", "u", "1.00").await;
    assert_eq!((late.status, late.problem().as_str()), (409, "period_closed"));
    assert_eq!(late.json()["state"], "closed");
    assert_eq!(create(&stage, "first", "u", "1.00").await.status, 200, "what was made before is told still");
}

async fn or_12_periods_may_have_to_be_announced(on: On) {
    let announced = |text: String| quiet(text.replace("periods = \"open\"", "periods = \"announced\""));
    let stage = changed_stage(on, announced).await;
    let refused = create(&stage, "A", "u", "1.00").await;
    assert_eq!((refused.status, refused.problem().as_str()), (404, "period_unknown"));
    let body = format!(r#"{{"period_number": "{PERIOD}"}}"#);
    assert_eq!(stage.post("/api/v1/periods", &body).await.status, 201);
    assert_eq!(stage.post("/api/v1/periods", &body).await.status, 200);
    assert_eq!(create(&stage, "A", "u", "1.00").await.status, 201);
}

async fn periods_are_listed_in_pages(on: On) {
    let stage = stage(on).await;
    // Odd ones too.
    for period in ["20241201_001", "20241201_002", "20241201_003", "期 {1}*/?", "a:b"] {
        let body = serde_json::json!({ "period_number": period }).to_string();
        assert_eq!(stage.post("/api/v1/periods", &body).await.status, 201, "{period}");
    }
    let first = stage.json("/api/v1/periods?limit=3").await;
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["periods"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["period_number"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["期 {1}*/?", "a:b", "20241201_003"]);
    let rest =
        stage.json(&format!("/api/v1/periods?limit=3&cursor={}", first["cursor"].as_str().unwrap())).await;
    assert_eq!(
        (names(&rest), rest["cursor"].is_null()),
        (vec!["20241201_002".into(), "20241201_001".into()], true)
    );
    step(&stage, "closed").await;
    assert_eq!(names(&stage.json("/api/v1/periods?state=closed").await), [PERIOD]);
    let body =
        serde_json::json!({ "order_no": "odd/1", "uid": "u", "period_number": "期 {1}*/?", "amount": 1 });
    assert_eq!(stage.post("/api/v1/orders/create", &body.to_string()).await.status, 201);
    let encoded = "%E6%9C%9F%20%7B1%7D%2A%2F%3F";
    assert_eq!(stage.json(&format!("/api/v1/periods/{encoded}/count")).await["count"], 1);
    assert_eq!(stage.get(&format!("/api/v1/periods/{encoded}/orders/odd%2F1")).await.status, 200);
    let mut client = stage.resp().await;
    let held = client.call(&["HGET", "fataMorgana_期 {1}*/?", "odd/1"]).await;
    assert!(forebay_stage::shown(&held).contains(r#""amount":1.00"#), "{held:?}");
}

async fn an_archived_period_is_not_held(on: On) {
    let stage = stage(on).await;
    some(&stage, 2).await;
    stage.get(&format!("/api/v1/periods/{PERIOD}/orders")).await;
    for state in ["closed", "drawn", "settled", "archived"] {
        assert_eq!(step(&stage, state).await.status, 200);
    }
    assert_eq!(stage.json(&format!("/api/v1/periods/{PERIOD}/cache")).await["cached"], false);
    assert_eq!(
        stage.json(&format!("/api/v1/periods/{PERIOD}/count")).await["count"],
        2,
        "it is read all the same"
    );
}
