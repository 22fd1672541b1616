use std::fs;

use expect_test::expect;
use forebay_server::configuration::explain;

use super::{SECRET, folder, parse};

fn explained(file: &str, namespace: &str) -> String {
    let declaration = parse(&fs::read_to_string(folder().join(file)).unwrap()).unwrap();
    let text = explain(&declaration, namespace).unwrap();
    assert!(text.lines().count() <= 46, "{text}");
    assert!(!text.contains(SECRET));
    text
}

#[test]
fn a_cache_that_keeps_writes() {
    expect![[r#"
        STOCK_CACHE — a cache of blobs in the keyspace shop (db 0)

          key           stock:{code}
          loaded from   the database main (sqlite:data/main.db)
          one key       select code, name, price, change, change_pct, volume, timestamp from quotes where code in
                        (select value from json_each(?1))
          many keys     the same query, once for what misses together or waits for its turn
          depends on    quotes by code (derived from the query)

          fresh         for 3s, counted from the moment its load began
          stale         never served; a read past that waits for the load, or fails with it
          bound         no answer is older than 8s with a healthy source (ttl + load time-out)
          load          fails after 5s
          breaker       after 5 failures in a row no load for 1m, then single ones until 2 succeed
          absence       believed for 30s: a row that others add shows after 35s at the latest

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; row changes, whoever makes them, by the feed
          made stale by FB.EXPIRE of the key: the next read loads

          SET           kept here, hiding the source until its TTL or an invalidation; the source is not touched
          DEL           drops the copy; the next read loads
          memory        shares 256 MiB with the others; evicts by S3-FIFO
          warmed        at the start, in the background: 4 listed keys and the 100 keys most read in the last run

          not served    `feed = true` of the database main: read and checked, but this version refuses to serve it
    "#]].assert_eq(&explained("good.toml", "STOCK_CACHE"));
}

#[test]
fn a_cache_that_may_be_stale() {
    expect![[r#"
        price — a cache of blobs in the keyspace shop (db 0)

          key           price:{symbol}:{currency}
          loaded from   the database main (sqlite:data/main.db)
          one key       select * from prices where (symbol, currency) in (select json_extract(value, '$[0]'),
                        json_extract(value, '$[1]') from json_each(?1))
          many keys     the same query, once for what misses together or waits for its turn
          depends on    prices by symbol, currency (derived from the query)

          fresh         for 5m, counted from the moment its load began
          stale         served until 6m old while one refresh is on its way
          on error      served until 1h5m old while the source fails, with its age told
          bound         no answer is older than 6m5s with a healthy source (ttl + stale_while_revalidate + load
                        time-out), nor than 1h5m with one that fails or takes longer than 100ms (ttl +
                        stale_if_error)
          load          fails after 5s; a reader who may have a stale value takes it after 100ms
          breaker       after 5 failures in a row no load for 1m, then single ones until 2 succeed
          absence       believed for 30s: a row that others add shows after 35s at the latest

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; the invalidation of its tags; row changes, whoever
                        makes them, by the feed
          made stale by FB.EXPIRE of the key: the next read loads, and gets the old value only if the source fails
          tag           symbol:{symbol}

          SET           refused: the source has the truth
          DEL           drops the copy; the next read loads
          memory        shares 256 MiB with the others; evicts by S3-FIFO

          not served    `feed = true` of the database main: read and checked, but this version refuses to serve it
    "#]].assert_eq(&explained("good.toml", "price"));
}

#[test]
fn a_store_of_one_kind() {
    let store = |kind: &str| {
        let text = format!(
            "keyspace = 'shop'\n[namespace.own]\nkey = 'own:{{id}}'\nmode = 'store'\nttl = '1d'\nkind = '{kind}'\n"
        );
        let explained = explain(&parse(&text).unwrap(), "own").unwrap();
        let about = |line: &&str| {
            ["own —", "SET ", "HSET ", "ZADD ", "other kinds"]
                .iter()
                .any(|start| line.trim_start().starts_with(start))
        };
        explained.lines().filter(about).map(str::to_owned).collect::<Vec<String>>().join("\n")
    };
    expect![[r#"
        own — a store of hashes in the keyspace shop (db 0)
          SET           refused (FBKIND): values are hashes
          HSET          written, durable as declared
          other kinds   refused (FBKIND): values are hashes
        own — a store of sorted sets in the keyspace shop (db 0)
          SET           refused (FBKIND): values are sorted sets
          ZADD          written, durable as declared
          other kinds   refused (FBKIND): values are sorted sets
        own — a store of counters in the keyspace shop (db 0)
          SET           of a 64-bit integer is written, durable as declared
          other kinds   refused (FBKIND): values are counters
        own — a store of blobs in the keyspace shop (db 0)
          SET           written, durable as declared
          other kinds   refused (FBKIND): values are blobs"#]]
    .assert_eq(&["hash", "sorted_set", "counter", "blob"].map(store).join("\n"));
}

#[test]
fn a_store() {
    expect![[r#"
        sessions — a store of values of any kind in the keyspace shop (db 0)

          key           session:{session_id}
          loaded from   nowhere: it is itself the truth

          kept          for 24h after its last use, 30d at most
          durable       on disk within 1s of a write

          SET           written, durable as declared
          DEL           deletes the value
          memory        shares 256 MiB with the others; evicts by S3-FIFO
    "#]]
    .assert_eq(&explained("good.toml", "sessions"));
}

#[test]
fn a_cache_that_every_use_renews() {
    let text = "keyspace = 'shop'\n[database.main]\nurl = 'sqlite:x.db'\n[namespace.session]\nkey = 'session:{id}'\n\
                ttl = { idle = '24h', max = '30d' }\nsecure = true\ntags = ['user:{user_id}', 'session:{id}']\n\
                version = 'seq'\nrefresh_ahead = '1h'\nloader.breaker.failures = 9\n\
                memory = { policy = 'lru', budget = '8 MiB' }\nwarm.hottest = 50\n\
                source.sql = { database = 'main', query = 'select id, user_id, seq from sessions where id in {keys}' }\n";
    expect![[r#"
        session — a cache of blobs in the keyspace shop (db 0)

          key           session:{id}
          loaded from   the database main (sqlite:x.db)
          one key       select id, user_id, seq from sessions where id in (select value from json_each(?1))
          many keys     the same query, once for what misses together or waits for its turn
          depends on    sessions by id (derived from the query)

          fresh         for 24h after its last use, 30d at most, counted from the moment its load began
          refreshed     in the background, by a read in the last 1h before its max
          version       the column seq: an older row never replaces a newer one
          stale         never served; a read that cannot be loaded fails
          bound         no answer is older than 30d5s with a healthy source (max + load time-out)
          load          fails after 5s
          breaker       after 9 failures in a row no load for 1m, then single ones until 2 succeed
          absence       believed for 30s: a row that others add shows after 35s at the latest

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; the invalidation of its tags; row changes that an
                        app makes in transactions
          made stale by FB.EXPIRE of the key: the next read loads
          tag           user:{user_id} (by its row)
          tag           session:{id}
          not seen      changes that others make to the source (no feed): such a change shows after 30d5s at the
                        latest while the source is healthy

          SET           refused: the source has the truth
          DEL           drops the copy; the next read loads
          memory        8 MiB of its own; evicts by least recently used first
          warmed        at the start, in the background: the 50 keys most read in the last run
    "#]]
    .assert_eq(&explain(&parse(text).unwrap(), "session").unwrap());
}

#[test]
fn a_cache_of_what_clients_write_tells_its_tags() {
    let text = "keyspace = 'shop'\n[namespace.list]\nkey = 'list:{page}'\nmode = 'cache'\nttl = '1m'\ntags = ['lists']\n";
    expect![[r#"
        list — a cache of values of any kind in the keyspace shop (db 0)

          key           list:{page}
          loaded from   nowhere: it holds what clients write

          kept          for 1m after it was written

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; the invalidation of its tags
          tag           lists

          SET           kept here until its TTL; may be lost at any time
          DEL           drops the value
          memory        shares 256 MiB with the others; evicts by S3-FIFO
    "#]]
    .assert_eq(&explain(&parse(text).unwrap(), "list").unwrap());
}

#[test]
fn what_bounds_requests_is_told() {
    let text = "keyspace = 'shop'\n[namespace.note]\nkey = 'note:{id}'\nmode = 'store'\nttl = '60s'\n\
                quota = { reads = 9 }\nworkers_kv_limits = true\nlog = 'operations'\n";
    let explained = explain(&parse(text).unwrap(), "note").unwrap();
    for line in [
        "quota         9 keys read and any number of keys written a day, in UTC",
        "limits        those of Workers KV: values live for 60s or longer, one write of a key a second",
        "logged        each request to it, in a line of the target forebay_server::operations",
    ] {
        assert!(explained.contains(line), "no `{line}` in {explained}");
    }
}

#[test]
fn a_namespace_that_says_everything() {
    expect![[r#"
        price — a cache of blobs in the keyspace all (db 7)

          key           price:{symbol}:{id:integer}
          loaded from   the database main (***), or its replica where that has everything
          one key       select symbol, p.ident as id, quote, amount, seq, venue from prices p join venues using
                        (venue) where (symbol, p.ident) in (select * from unnest($1::text[], $2::bigint[]))
          many keys     the same query, once for what misses together or waits for its turn
          depends on    prices by symbol, id, all of venues (declared)
          loaded from   https://upstream/prices/{symbol}/{id}
          many keys     a request each
          merged        both are asked at once; columns of the row are laid over the answer

          fresh         for 5m, counted from the moment its load began, up to 10s less by chance
          refreshed     in the background, by a read in the last 30s before that
          refreshed     every 4m, read or not, while it is held
          version       the column seq: an older row never replaces a newer one
          shape         3: copies of another shape in a shared tier are not read
          stale         served until 6m old while one refresh is on its way
          on error      served until 1h5m old while the source fails, with its age told
          bound         no answer is older than 6m2s with a healthy source (ttl + stale_while_revalidate + load
                        time-out), nor than 1h5m with one that fails or takes longer than 50ms (ttl +
                        stale_if_error)
          load          fails after 2s; a reader who may have a stale value takes it after 50ms
          breaker       after 3 failures in a row no load for 10s, then single ones until 1 succeed
          absence       never believed: every read of an absent key asks the source

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; the invalidation of its tags; row changes, whoever
                        makes them, by the feed
          made stale by FB.EXPIRE of the key: the next read loads, and gets the old value only if the source fails
          tag           symbol:{symbol}
          tag           venue:{venue} (by its row)

          SET           goes to the HTTP sink first, then here
          DEL           deletes from the HTTP sink, then here
          EXISTS        and HEXISTS load what is not held
          memory        256 MiB of its own (25 % of all); evicts by least frequently used first
          warmed        at the start, in the background: 2 listed keys and the 5 keys most read in the last run

          not served    `memory.max_age`, `feed = true` of the database main: read and checked, but this version
                        refuses to serve it
    "#]].assert_eq(&explained("full.toml", "price"));
}

#[test]
fn without_a_feed_the_bound_is_told() {
    let text = fs::read_to_string(folder().join("good.toml")).unwrap().replace("feed = true", "");
    let text = explain(&parse(&text).unwrap(), "price").unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("not seen changes that others make to the source (no feed)"), "{text}");
    assert!(words.contains("after 6m5s at the latest"), "{text}");
    assert!(!words.contains("by the feed"), "{text}");
    assert!(explain(&parse("keyspace = 'a'").unwrap(), "price").is_none());
}

/// The feature's page shows a declaration and what is said of it; they belong together.
#[test]
fn the_page_shows_what_is_really_said() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/features/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let blocks = |language: &str| {
        let fence = format!("```{language}\n");
        page.split(&fence)
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (toml, text) = (blocks("toml"), blocks("text"));
    let declaration = parse(&toml[0]).unwrap();
    let explained = explain(&declaration, "price").unwrap();
    assert!(text.contains(&explained), "the page does not show:\n{explained}");
    parse(&toml[1]).unwrap();
    let misspelt = toml[0].replace("revalidate", "revaldiate").replacen("ttl", "# The price.\nttl", 1);
    let told = format!("{}\n", parse(&misspelt).unwrap_err());
    assert!(text.contains(&told), "the page does not show:\n{told}");
}

#[test]
fn what_rows_make_is_told() {
    let lines = |namespace: &str| {
        let text = explained("full.toml", namespace);
        let kept = text.lines().filter(|line| {
            ["  rows ", "  field ", "  one field "].iter().any(|label| line.starts_with(label))
        });
        kept.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
          field         {order_no}
          rows          each is a field, at most 500 and 16 MiB; its value is the row as JSON
          one field     select * from orders where (period_number, order_no) in (select * from unnest($1::text[],
          rows          each is the member player by points, at most 10000 and 1 MiB
          rows          all of a key, at most 10000 and 16 MiB: a JSON array in the query's order
    "#]].assert_eq(&[lines("order"), lines("ladder"), lines("moves"), lines("note")].join("\n"));
}

#[test]
fn a_query_that_does_not_tell_its_tables_hears_of_all() {
    let of = |url: &str, query: &str, more: &str| {
        let text = format!(
            "keyspace = 'a'\n[database.main]\nurl = '{url}'\n[namespace.n]\nkey = 'n:{{x}}'\nttl = '1m'\n{more}\n\
             source.sql = {{ database = 'main', query = \"{query}\" }}"
        );
        let text = explain(&parse(&text).unwrap(), "n").unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (file, server) = ("sqlite:x.db", "postgres://u@h/d");
    let any = "depends on any table of the database, since the query does not tell which it reads";
    for query in [
        "select x from (select * from t) where x in {keys}",
        "select x from t where x in {keys} union select x from u where x in {keys}",
        "with a as (select * from t) select x from a where x in {keys}",
    ] {
        for url in [file, server] {
            let text = of(url, query, "");
            assert!(text.contains(any), "{text}");
            assert!(text.contains("any change of the database that an app makes in a transaction"), "{text}");
            assert!(text.contains("not seen changes that others make"), "{text}");
        }
    }
    // A function of an app's own may read tables. A SQLite file has none.
    let called = "select x, price_of(x) as price from t where x in {keys}";
    assert!(of(server, called, "").contains(any));
    assert!(of(file, called, "").contains("depends on t by x (derived from the query)"));
    let preview = "[environment.preview]\ndb = 3\ndatabase.main.url = 'postgres://u@h/p'";
    let narrowed = of(server, called, "depends_on = { t = ['x'], prices = [] }");
    assert!(narrowed.contains("depends on all of prices, t by x (declared)"), "{narrowed}");
    let own = "select x, lower(y) as y from t where x in {keys}";
    assert!(of(server, own, "").contains("depends on t by x (derived from the query)"));
    let text = format!(
        "keyspace = 'a'\n[database.main]\nurl = '{file}'\n[namespace.n]\nkey = 'n:{{x}}'\nttl = '1m'\n\
         source.sql = {{ database = 'main', query = \"{called}\" }}\n{preview}"
    );
    let text = explain(&parse(&text).unwrap(), "n").unwrap();
    assert!(text.contains("any table of the database"), "its environment is on a server: {text}");
}

#[test]
fn a_cache_whose_rows_say_until_when_they_are_fresh() {
    expect![[r#"
        shift — a cache of blobs in the keyspace all (db 7)

          key           shift:{name}
          loaded from   the database notes (sqlite:data/notes.db)
          one key       select name, until from shifts where name in (select value from json_each(?1)) and until >
                        ?2
          many keys     the same query, once for what misses together or waits for its turn
          depends on    shifts by name (derived from the query)

          fresh         for 1m, counted from the moment its load began
          fresh until   as the row says in until, 12h at most; for the above where that is null
          stale         never served; a read past that waits for the load, or fails with it
          bound         no answer is older than 12h5s with a healthy source (at_most + load time-out)
          load          fails after 5s
          breaker       after 5 failures in a row no load for 1m, then single ones until 2 succeed
          absence       believed for 30s: a row that others add shows after 35s at the latest

          dropped by    DEL, UNLINK and FB.INVALIDATE of the key; row changes that an app makes in transactions
          made stale by FB.EXPIRE of the key: the next read loads
          not seen      changes that others make to the source (no feed): such a change shows after 12h5s at the
                        latest while the source is healthy

          SET           refused: the source has the truth
          DEL           drops the copy; the next read loads
          memory        shares 1 GiB with the others; evicts by S3-FIFO
    "#]].assert_eq(&explained("full.toml", "shift"));
}
