//! What every store keeps, as one function that tests call: [`check_store`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::tier::shared::Owner;
use forebay::tier::store::{
    Change, Count, Described, Durability, Ends, Store, StoreError, StoredValue, What,
};
use forebay::value::{Blob, Hash, Kind, MemberChange, Score, SortedSet};

use super::Later;

/// Ends the process that has a store, and opens that again; the store then.
pub type Reopens = Box<dyn Fn() -> Later<Arc<dyn Store>> + Send + Sync>;

/// A store under test, without faults and empty, and what can be done to it.
pub struct StoreSubject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Lets time pass, as the store counts it.
    pub pass: Box<dyn Fn(Duration) -> Later<()> + Send + Sync>,
    /// `None` where nothing outlives the process.
    pub restart: Option<Reopens>,
}

impl fmt::Debug for StoreSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSubject").finish_non_exhaustive()
    }
}

/// Runs every rule of [`Store`] on stores that `make` makes, one for each.
///
/// # Panics
/// At the first rule that does not hold.
pub async fn check_store<M: Future<Output = StoreSubject>>(make: impl Fn() -> M) {
    every_kind_is_told_as_it_was_put(make().await).await;
    parts_are_changed_and_nothing_else(make().await).await;
    what_is_appended_together_is_done_in_its_order(make().await).await;
    values_end_when_they_are_to(make().await).await;
    uses_prolong_what_ends_unused(make().await).await;
    keys_are_listed_in_their_order(make().await).await;
    what_is_cleared_is_gone_and_nothing_else(make().await).await;
    what_comes_and_goes_is_counted(make().await).await;
    limits_are_told_truly(make().await).await;
    what_was_appended_outlives_a_restart(make().await).await;
}

const ALWAYS: Durability = Durability::Always;

fn owner(namespace: &str) -> Owner {
    Owner { keyspace: Arc::from("shop"), namespace: Arc::from(namespace) }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn blob(text: &str) -> What {
    What::Put(StoredValue::Blob(Blob::new(text, "text/plain")))
}

fn fields(fields: &[(&str, &str)]) -> What {
    let owned = fields.iter().map(|(field, value)| (*field, Bytes::from((*value).to_owned())));
    What::Put(StoredValue::Hash(Arc::new(Hash::whole(owned))))
}

fn change(key: &str, what: What, ends: Ends) -> Change {
    Change { key: key.as_bytes().into(), what, ends }
}

async fn append(store: &Arc<dyn Store>, changes: Vec<Change>) {
    store.append(&owner("things"), changes, ALWAYS).await.unwrap();
}

async fn put(store: &Arc<dyn Store>, key: &str, what: What, ends: Ends) {
    append(store, vec![change(key, what, ends)]).await;
}

/// What is stored for `key`, in words.
async fn told(store: &Arc<dyn Store>, of: &Owner, key: &str) -> Option<String> {
    let stored = store.load(of, &[key.as_bytes()]).await.unwrap().remove(0)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Some(match stored.value {
        StoredValue::Blob(blob) => format!("{} {}", blob.content_type(), text(&blob.bytes())),
        StoredValue::Counter(number) => number.to_string(),
        StoredValue::Encoded { shape, bytes } => format!("{shape} {}", text(&bytes)),
        StoredValue::Hash(hash) => {
            assert!(hash.is_whole(), "a store knows the whole hash");
            let sorted: BTreeMap<_, _> =
                hash.iter().map(|(field, value)| (text(field), text(value))).collect();
            format!("{sorted:?}")
        }
        StoredValue::SortedSet(set) => {
            let members: Vec<_> = set.iter().map(|(member, score)| (text(member), score.get())).collect();
            format!("{members:?}")
        }
    })
}

async fn is(store: &Arc<dyn Store>, key: &str, expected: Option<&str>) {
    assert_eq!(told(store, &owner("things"), key).await.as_deref(), expected, "{key}");
}

async fn every_kind_is_told_as_it_was_put(StoreSubject { store, .. }: StoreSubject) {
    let set: SortedSet = [("ada", 3), ("bob", -1)].into_iter().collect();
    let values = [
        ("blob", blob("x"), "text/plain x", Kind::Blob),
        (
            "hash",
            fields(&[("name", "Ada"), ("", "empty name")]),
            r#"{"": "empty name", "name": "Ada"}"#,
            Kind::Hash,
        ),
        (
            "set",
            What::Put(StoredValue::SortedSet(Arc::new(set))),
            r#"[("bob", -1.0), ("ada", 3.0)]"#,
            Kind::SortedSet,
        ),
        ("counter", What::Put(StoredValue::Counter(i64::MIN)), "-9223372036854775808", Kind::Counter),
        (
            "native",
            What::Put(StoredValue::Encoded { shape: 7, bytes: Bytes::from_static(b"rust") }),
            "7 rust",
            Kind::Native,
        ),
    ];
    for (key, what, ..) in &values {
        put(&store, key, what.clone(), Ends::Never).await;
    }
    for (key, _, expected, kind) in &values {
        is(&store, key, Some(expected)).await;
        let stored = store.load(&owner("things"), &[key.as_bytes()]).await.unwrap().remove(0).unwrap();
        assert_eq!((stored.value.kind(), stored.ends_in), (*kind, None));
    }
    // Each takes the place of another kind, and of another of its own.
    for (key, what, expected, _) in &values {
        put(&store, "one", what.clone(), Ends::Never).await;
        put(&store, "one", what.clone(), Ends::Never).await;
        is(&store, "one", Some(expected)).await;
        is(&store, key, Some(expected)).await;
    }
    put(&store, "one", fields(&[("other", "1")]), Ends::Never).await;
    is(&store, "one", Some(r#"{"other": "1"}"#)).await;
    put(&store, "one", What::Delete, Ends::Never).await;
    put(&store, "nothing", What::Delete, Ends::Never).await;
    is(&store, "one", None).await;
    let noted = StoredValue::Blob(Blob::json("1").with_metadata(b"{}"));
    put(&store, "noted", What::Put(noted), Ends::After(secs(100))).await;
    let keys: [&[u8]; 7] = [b"counter", b"nothing", b"blob", b"hash", b"set", b"native", b"noted"];
    let all = store.load(&owner("things"), &keys).await.unwrap();
    assert_eq!(
        all.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, true, true, true, true, true]
    );
    let described = store.describe(&owner("things"), &keys).await.unwrap();
    let of_values = all.into_iter().map(|stored| stored.map(Described::from)).collect::<Vec<_>>();
    assert_eq!(described, of_values);
    let noted = described.last().cloned().flatten().unwrap();
    assert_eq!((noted.metadata.as_deref(), noted.ends_in), (Some(&b"{}"[..]), Some(secs(100))));
    assert!(told(&store, &owner("others"), "blob").await.is_none());
}

async fn parts_are_changed_and_nothing_else(StoreSubject { store, .. }: StoreSubject) {
    put(&store, "hash", fields(&[("a", "1"), ("b", "2"), ("c", "3")]), Ends::Never).await;
    put(&store, "twin", fields(&[("a", "1")]), Ends::Never).await;
    let parts = vec![
        (Bytes::from_static(b"a"), Some(Bytes::from_static(b"one"))),
        (Bytes::from_static(b"b"), None),
        (Bytes::from_static(b"d"), Some(Bytes::new())),
        (Bytes::from_static(b"none"), None),
    ];
    put(&store, "hash", What::Fields(parts), Ends::AsBefore).await;
    is(&store, "hash", Some(r#"{"a": "one", "c": "3", "d": ""}"#)).await;
    is(&store, "twin", Some(r#"{"a": "1"}"#)).await;
    let set: SortedSet = [("ada", 3), ("bob", 1)].into_iter().collect();
    put(&store, "set", What::Put(StoredValue::SortedSet(Arc::new(set))), Ends::Never).await;
    let member = |name: &'static [u8], score: Option<i32>| MemberChange {
        member: Bytes::from_static(name),
        score: score.map(Score::from),
    };
    let parts = vec![member(b"ada", Some(0)), member(b"bob", None), member(b"cy", Some(2))];
    put(&store, "set", What::Members(parts), Ends::AsBefore).await;
    is(&store, "set", Some(r#"[("ada", 0.0), ("cy", 2.0)]"#)).await;
}

async fn what_is_appended_together_is_done_in_its_order(StoreSubject { store, .. }: StoreSubject) {
    let never = |key, what| change(key, what, Ends::Never);
    let field = vec![(Bytes::from_static(b"b"), Some(Bytes::from_static(b"2")))];
    append(
        &store,
        vec![
            never("x", fields(&[("a", "0"), ("old", "0")])),
            never("y", blob("y")),
            never("x", What::Delete),
            never("x", fields(&[("a", "1")])),
            never("x", What::Fields(field)),
        ],
    )
    .await;
    is(&store, "x", Some(r#"{"a": "1", "b": "2"}"#)).await;
    is(&store, "y", Some("text/plain y")).await;
}

async fn values_end_when_they_are_to(StoreSubject { store, pass, .. }: StoreSubject) {
    put(&store, "short", blob("x"), Ends::After(secs(10))).await;
    put(&store, "moved", blob("x"), Ends::After(secs(10))).await;
    put(&store, "freed", blob("x"), Ends::After(secs(10))).await;
    put(&store, "hash", fields(&[("a", "1")]), Ends::After(secs(10))).await;
    let left = store.load(&owner("things"), &[b"short"]).await.unwrap().remove(0).unwrap().ends_in.unwrap();
    assert!(left <= secs(10) && left >= secs(8), "{left:?}");
    pass(secs(6)).await;
    put(&store, "moved", What::Stays, Ends::After(secs(60))).await;
    put(&store, "freed", What::Stays, Ends::Never).await;
    put(&store, "nothing", What::Stays, Ends::After(secs(60))).await;
    let field = vec![(Bytes::from_static(b"a"), Some(Bytes::from_static(b"2")))];
    put(&store, "hash", What::Fields(field), Ends::AsBefore).await;
    put(&store, "short", blob("y"), Ends::AsBefore).await;
    is(&store, "short", Some("text/plain y")).await;
    is(&store, "hash", Some(r#"{"a": "2"}"#)).await;
    pass(secs(5)).await;
    for (key, there) in
        [("short", false), ("hash", false), ("moved", true), ("freed", true), ("nothing", false)]
    {
        assert_eq!(told(&store, &owner("things"), key).await.is_some(), there, "{key}");
    }
    let keys = store.list(&owner("things"), b"", None, 9).await.unwrap();
    assert_eq!(keys, [b"freed"[..].into(), b"moved"[..].into()]);
    // What has ended does not come back, and has no end for what comes after it.
    put(&store, "short", What::Stays, Ends::Never).await;
    is(&store, "short", None).await;
    put(&store, "short", fields(&[("new", "1")]), Ends::AsBefore).await;
    pass(secs(100)).await;
    is(&store, "short", Some(r#"{"new": "1"}"#)).await;
    is(&store, "moved", None).await;
}

async fn uses_prolong_what_ends_unused(StoreSubject { store, pass, .. }: StoreSubject) {
    for key in ["used", "unused"] {
        put(&store, key, blob("x"), Ends::Unused(secs(10), secs(60))).await;
    }
    put(&store, "fixed", blob("x"), Ends::After(secs(30))).await;
    let at_most = store.load(&owner("things"), &[b"used"]).await.unwrap().remove(0).unwrap().ends_in.unwrap();
    assert!(at_most <= secs(60) && at_most >= secs(58), "{at_most:?}");
    for past in (6..66).step_by(6) {
        pass(secs(6)).await;
        for key in ["used", "fixed"] {
            put(&store, key, What::Stays, Ends::Used(secs(10))).await;
        }
        for (key, there) in [("used", past < 60), ("unused", past < 10), ("fixed", past < 30)] {
            // A store keeps times to the millisecond, and a test may take some.
            if past % 30 != 0 {
                assert_eq!(
                    told(&store, &owner("things"), key).await.is_some(),
                    there,
                    "{key} after {past} s"
                );
            }
        }
    }
}

async fn keys_are_listed_in_their_order(StoreSubject { store, .. }: StoreSubject) {
    for key in ["b:2", "a", "b:1", "b:10", "c"] {
        put(&store, key, blob(key), Ends::Never).await;
    }
    put(&store, "b:", fields(&[("z", "1")]), Ends::Never).await;
    store.append(&owner("others"), vec![change("b:3", blob("x"), Ends::Never)], ALWAYS).await.unwrap();
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let keys = store.list(&owner("things"), prefix.as_bytes(), after.map(str::as_bytes), limit).await;
        let keys = keys.unwrap().into_iter().map(|key| String::from_utf8(key.into_vec()).unwrap());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(list("", None, 9).await, ["a", "b:", "b:1", "b:10", "b:2", "c"]);
    assert_eq!(list("b:", None, 2).await, ["b:", "b:1"]);
    assert_eq!(list("b:", Some("b:1"), 9).await, ["b:10", "b:2"]);
    assert_eq!(list("b:", Some("a"), 1).await, ["b:"]);
    assert_eq!(list("b:", Some("c"), 9).await, Vec::<String>::new());
    assert_eq!(list("d", None, 9).await, Vec::<String>::new());
}

async fn what_is_cleared_is_gone_and_nothing_else(StoreSubject { store, .. }: StoreSubject) {
    let others = owner("others");
    store.append(&others, vec![change("x", blob("kept"), Ends::Never)], ALWAYS).await.unwrap();
    for round in 0..3 {
        put(&store, "x", fields(&[("a", "1")]), Ends::Never).await;
        put(&store, "y", blob("y"), Ends::After(secs(60))).await;
        store.clear(&owner("things"), ALWAYS).await.unwrap();
        is(&store, "x", None).await;
        assert!(store.list(&owner("things"), b"", None, 9).await.unwrap().is_empty(), "round {round}");
    }
    put(&store, "x", fields(&[("b", "2")]), Ends::Never).await;
    is(&store, "x", Some(r#"{"b": "2"}"#)).await;
    assert_eq!(told(&store, &others, "x").await.as_deref(), Some("text/plain kept"));
}

async fn what_comes_and_goes_is_counted(StoreSubject { mut store, restart, .. }: StoreSubject) {
    let counted = async |store: &Arc<dyn Store>, of: &str| {
        let Count { keys, ending } = store.count(&owner(of)).await.unwrap();
        (keys, ending)
    };
    put(&store, "before", blob("x"), Ends::Never).await;
    assert_eq!(counted(&store, "things").await, (1, 0));
    put(&store, "a", fields(&[("f", "v")]), Ends::After(secs(100))).await;
    put(&store, "b", blob("x"), Ends::Unused(secs(100), secs(200))).await;
    assert_eq!(counted(&store, "things").await, (3, 2));
    // What is written again, used or changed in part is counted once.
    put(&store, "before", blob("y"), Ends::Never).await;
    put(&store, "a", What::Fields(vec![("g".into(), Some("w".into()))]), Ends::AsBefore).await;
    put(&store, "b", What::Stays, Ends::Used(secs(50))).await;
    assert_eq!(counted(&store, "things").await, (3, 2));
    put(&store, "a", What::Stays, Ends::Never).await;
    assert_eq!(counted(&store, "things").await, (3, 1));
    put(&store, "b", What::Delete, Ends::Never).await;
    put(&store, "nothing", What::Delete, Ends::Never).await;
    assert_eq!((counted(&store, "things").await, counted(&store, "others").await), ((2, 0), (0, 0)));
    if let Some(restart) = restart {
        drop(store);
        store = restart().await;
        assert_eq!(counted(&store, "things").await, (2, 0), "after a restart");
    }
    store.clear(&owner("things"), ALWAYS).await.unwrap();
    assert_eq!(counted(&store, "things").await, (0, 0));
    put(&store, "after", blob("x"), Ends::After(secs(100))).await;
    assert_eq!(counted(&store, "things").await, (1, 1));
}

async fn limits_are_told_truly(StoreSubject { store, .. }: StoreSubject) {
    let limits = store.limits();
    let longest = "k".repeat(limits.key_bytes_max);
    put(&store, &longest, blob("x"), Ends::Never).await;
    is(&store, &longest, Some("text/plain x")).await;
    let longer = format!("{longest}k");
    let asked = vec![change("with", blob("x"), Ends::Never), change(&longer, blob("x"), Ends::Never)];
    let refused = store.append(&owner("things"), asked, ALWAYS).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    is(&store, "with", None).await;
    // What is known in part would be told as the whole.
    let mut partial = Hash::partial();
    partial.set(b"a", Bytes::from_static(b"1"));
    let partial = What::Put(StoredValue::Hash(Arc::new(partial)));
    let asked = vec![change("with", blob("x"), Ends::Never), change("partial", partial, Ends::Never)];
    let refused = store.append(&owner("things"), asked, ALWAYS).await.unwrap_err();
    assert!(matches!(refused, StoreError::Partial), "{refused}");
    is(&store, "with", None).await;
    let many: Vec<String> = (0..limits.batch_max).map(|number| format!("{number:06}")).collect();
    append(&store, many.iter().map(|key| change(key, blob(key), Ends::Never)).collect()).await;
    let keys: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
    let all = store.load(&owner("things"), &keys).await.unwrap();
    assert!(all.len() == many.len() && all.iter().all(Option::is_some));
}

async fn what_was_appended_outlives_a_restart(StoreSubject { mut store, pass, restart }: StoreSubject) {
    let Some(restart) = restart else { return };
    put(&store, "hash", fields(&[("a", "1"), ("b", "2")]), Ends::Never).await;
    put(&store, "short", blob("x"), Ends::After(secs(20))).await;
    put(&store, "gone", fields(&[("a", "1")]), Ends::Never).await;
    store.append(&owner("cleared"), vec![change("x", blob("x"), Ends::Never)], ALWAYS).await.unwrap();
    store.clear(&owner("cleared"), ALWAYS).await.unwrap();
    for round in 0..3 {
        drop(store);
        store = restart().await;
        is(&store, "hash", Some(&format!(r#"{{"a": "1", "b": "{}"}}"#, round + 2))).await;
        let field = vec![(Bytes::from_static(b"b"), Some(Bytes::from((round + 3).to_string())))];
        put(&store, "hash", What::Fields(field), Ends::AsBefore).await;
        assert!(told(&store, &owner("cleared"), "x").await.is_none());
        // A collection of this run has nothing of one that was deleted in an earlier one.
        is(&store, "gone", Some(r#"{"a": "1"}"#)).await;
        put(&store, "gone", What::Delete, Ends::Never).await;
        put(&store, "gone", fields(&[("a", "1")]), Ends::Never).await;
    }
    is(&store, "short", Some("text/plain x")).await;
    pass(secs(21)).await;
    drop(store);
    let store = restart().await;
    is(&store, "short", None).await;
    is(&store, "hash", Some(r#"{"a": "1", "b": "5"}"#)).await;
}
