//! Keys of answers that are kept: what means the same has one.

use forebay_app_stocks::responses::key;

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn st_9_what_means_the_same_has_one_key() {
    let one = key("movers", &pairs(&[("market", "SH"), ("limit", "10")]), None);
    assert_eq!(one, key("movers", &pairs(&[("Limit", "10"), ("MARKET", "SH")]), None));
    assert!(one.starts_with("api:movers:") && one.len() == "api:movers:".len() + 64, "{one}");
}

#[test]
fn st_9_what_differs_has_another() {
    let base = [("market", "SH"), ("code", "a"), ("code", "b")];
    let one = key("movers", &pairs(&base), None);
    let others = [
        key("shakers", &pairs(&base), None),
        key("movers", &pairs(&[("market", "SZ"), ("code", "a"), ("code", "b")]), None),
        key("movers", &pairs(&[("market", "SH"), ("code", "b"), ("code", "a")]), None),
        key("movers", &pairs(&[("market", "SH"), ("code", "a")]), None),
        key("movers", &pairs(&[("market", "SH"), ("code", "acode"), ("", "b")]), None),
        key("movers", &pairs(&[("market", "sh"), ("code", "a"), ("code", "b")]), None),
        key("movers", &pairs(&base), Some("u1")),
        key("movers", &pairs(&base), Some("")),
    ];
    for (at, other) in others.iter().enumerate() {
        assert_ne!(&one, other, "{at}");
    }
    assert_ne!(others[6], others[7]);
}
