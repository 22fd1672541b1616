//! What a namespace will do, in words: the answer to `forebay explain NAMESPACE`.
//!
//! What is said, and how it stands on a page, are apart: others show it otherwise. Everything is said from the checked form; nothing is asked of a database.

use std::fmt;
use std::time::Duration;

use forebay::namespace::pattern::ParamKind;
use forebay_stores::database::Dialect;
use forebay_stores::source::sql;

use super::checked::{
    Breaker, Budget, Database, DatabaseKind, DatabaseUrl, Declaration, Durability, EvictionPolicy, Exists,
    FreshUntil, Kind, Mode, Namespace, RowShape, Sink, SourceKind, SqlSource, Ttl, Writes,
};
use super::raw::Table;
use super::served;
use super::units::{show_duration, show_rate, show_size};

const LABEL_WIDTH: usize = 14;
const TEXT_WIDTH: usize = 92;

/// What a namespace will do. Its `Display` is a page of some thirty lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Which namespace that is, in one line.
    pub title: String,
    /// What there is to say of it, in groups of what belongs together.
    pub groups: Vec<Vec<Said>>,
}

/// One thing that is said of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it is about, such as `loaded from`.
    pub about: &'static str,
    /// What is said, in words.
    pub text: String,
}

impl Explanation {
    fn gap(&mut self) {
        self.groups.push(Vec::new());
    }

    fn line(&mut self, about: &'static str, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = Said { about, text };
        match self.groups.last_mut() {
            Some(group) => group.push(said),
            None => self.groups.push(vec![said]),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for group in &self.groups {
            writeln!(f)?;
            group.iter().try_for_each(|said| wrapped(f, said))?;
        }
        Ok(())
    }
}

/// A label, and the text beside it.
fn wrapped(f: &mut fmt::Formatter<'_>, said: &Said) -> fmt::Result {
    let mut label = said.about;
    let mut line = String::new();
    for word in said.text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > TEXT_WIDTH {
            writeln!(f, "  {label:LABEL_WIDTH$}{line}")?;
            label = "";
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "  {label:LABEL_WIDTH$}{line}")
}

/// What the namespace will do, as text of some thirty lines; nothing where the declaration has no such namespace.
#[must_use]
pub fn explain(declaration: &Declaration, namespace: &str) -> Option<String> {
    explanation(declaration, namespace).map(|explanation| explanation.to_string())
}

/// What the namespace will do; nothing where the declaration has no such namespace.
#[must_use]
pub fn explanation(declaration: &Declaration, namespace: &str) -> Option<Explanation> {
    let found = declaration.namespaces.get(namespace)?;
    let raw =
        declaration.raw.tables("namespace").find(|(name, _)| *name == namespace).map(|(_, table)| table)?;
    let explained = Explained { declaration, namespace: found, raw };
    let mut page = explained.head();
    explained.source(&mut page);
    explained.freshness(&mut page);
    explained.invalidation(&mut page);
    explained.verbs(&mut page);
    explained.memory(&mut page);
    explained.unserved(&mut page);
    Some(page)
}

struct Explained<'d> {
    declaration: &'d Declaration,
    namespace: &'d Namespace,
    raw: &'d Table,
}

impl Explained<'_> {
    fn head(&self) -> Explanation {
        let namespace = self.namespace;
        let what = match namespace.mode {
            Mode::Cache => "cache",
            Mode::Store => "store",
        };
        let kind = match namespace.kind {
            Some(kind) => plural(kind),
            None if namespace.source.is_some() => plural(Kind::Blob),
            None => "values of any kind",
        };
        let (keyspace, db) = (&self.declaration.keyspace, self.declaration.db);
        let title = format!("{} — a {what} of {kind} in the keyspace {keyspace} (db {db})", namespace.name);
        let mut page = Explanation { title, groups: Vec::new() };
        page.line("key", &namespace.key.to_string());
        if let Some(field) = &namespace.field {
            page.line("field", &field.to_string());
        }
        page
    }

    fn source(&self, page: &mut Explanation) {
        let Some(source) = &self.namespace.source else {
            let text = match self.namespace.mode {
                Mode::Cache => "nowhere: it holds what clients write",
                Mode::Store => "nowhere: it is itself the truth",
            };
            page.line("loaded from", text);
            return;
        };
        if let Some(sql) = &source.sql {
            let place = match self.declaration.databases.get(&sql.database) {
                Some(Database { url, replicas, .. }) => {
                    let or = match replicas.len() {
                        0 => "",
                        1 => ", or its replica where that has everything",
                        _ => ", or a replica that has everything",
                    };
                    format!("the database {} ({}){or}", sql.database, url.text)
                }
                None => format!("the database {}", sql.database),
            };
            page.line("loaded from", &place);
            let dialect = self.dialect(&sql.database);
            let kinds: Vec<ParamKind> = self.namespace.key.kinds().collect();
            page.line("one key", &sql::bound(dialect, &sql.query.text.shown(), &kinds));
            page.line("many keys", "the same query, once for what misses together or waits for its turn");
            if let Some(list) = &sql.list {
                page.line("all keys", &format!("in pages: {}", list.shown()));
            }
            rows(page, sql);
            if let Some(fields) = &sql.fields {
                let of_field = self.namespace.field.iter().flat_map(|field| field.kinds());
                let kinds: Vec<ParamKind> = kinds.into_iter().chain(of_field).collect();
                page.line("one field", &sql::bound(dialect, &fields.text.shown(), &kinds));
            }
            page.line("depends on", &self.dependencies());
        }
        if let Some(http) = &source.http {
            page.line("loaded from", &http.url.shown());
            let asked = if http.template.takes_many() {
                format!("in one request, up to {}", http.keys_max)
            } else {
                "a request each".into()
            };
            page.line("many keys", &asked);
        }
        if let [SourceKind::Sql, SourceKind::Http] = source.order.as_slice() {
            page.line("merged", "both are asked at once; members of the answer are laid over the row");
        } else if source.order.len() == 2 {
            page.line("merged", "both are asked at once; columns of the row are laid over the answer");
        }
    }

    /// What the database called `name` is asked in.
    fn dialect(&self, name: &str) -> Dialect {
        match self.declaration.databases.get(name) {
            Some(Database { url: DatabaseUrl { kind: DatabaseKind::Postgres, .. }, .. }) => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    fn dependencies(&self) -> String {
        let Some(tables) = self.namespace.dependencies() else {
            return "any table of the database, since the query does not tell which it reads: `depends_on` narrows it".into();
        };
        let is_declared = !self.namespace.depends_on.is_empty();
        let how = if is_declared { "declared" } else { "derived from the query" };
        let tables: Vec<String> =
            tables.iter().map(|lookup| of_table(&lookup.table, &lookup.columns)).collect();
        format!("{} ({how})", tables.join(", "))
    }

    fn freshness(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        let has_source = namespace.source.is_some();
        page.gap();
        match namespace.ttl {
            Ttl::Fixed(ttl) if has_source => {
                let earlier = match namespace.jitter {
                    Duration::ZERO => String::new(),
                    jitter => format!(", up to {} less by chance", show_duration(jitter)),
                };
                page.line(
                    "fresh",
                    &format!("for {}, counted from the moment its load began{earlier}", show_duration(ttl)),
                );
            }
            Ttl::Fixed(ttl) => page.line("kept", &format!("for {} after it was written", show_duration(ttl))),
            Ttl::Sliding { idle, max } => {
                let counted = if has_source { ", counted from the moment its load began" } else { "" };
                let (idle, max) = (show_duration(idle), show_duration(max));
                let label = if has_source { "fresh" } else { "kept" };
                page.line(label, &format!("for {idle} after its last use, {max} at most{counted}"));
            }
        }
        if let Some(FreshUntil { column, at_most }) = &namespace.fresh_until {
            let at_most = show_duration(at_most.unwrap_or(namespace.ttl.longest()));
            let whose = match (&namespace.field, self.has_many_rows()) {
                (Some(_), _) => "each field as its row says",
                (None, true) => "all rows as the first to end says",
                (None, false) => "as the row says",
            };
            let text = format!("{whose} in {column}, {at_most} at most; for the above where that is null");
            page.line("fresh until", &text);
        }
        self.refreshed(page);
        if namespace.source.is_none() {
            if let Some(durability) = namespace.durability {
                page.line("durable", &durable(durability));
            }
            return;
        }
        self.stale(page);
        self.bound(page);
        self.load(page);
        let absent = match namespace.absent_ttl {
            Duration::ZERO => "never believed: every read of an absent key asks the source".into(),
            ttl => {
                let seen = show_duration(ttl + namespace.loader.timeout);
                format!(
                    "believed for {}: a row that others add shows after {seen} at the latest",
                    show_duration(ttl)
                )
            }
        };
        page.line("absence", &absent);
    }

    /// Whether a value is made of several rows.
    fn has_many_rows(&self) -> bool {
        let sql = self.namespace.source.as_ref().and_then(|source| source.sql.as_ref());
        sql.is_some_and(|sql| matches!(sql.shape, RowShape::Many | RowShape::Members { .. }))
    }

    /// What keeps a held value from ending or from going back.
    fn refreshed(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        if let Some(ahead) = namespace.refresh_ahead {
            let end = if matches!(namespace.ttl, Ttl::Sliding { .. }) { "its max" } else { "that" };
            let text =
                format!("in the background, by a read in the last {} before {end}", show_duration(ahead));
            page.line("refreshed", &text);
        }
        if let Some(every) = namespace.refresh_every {
            page.line("refreshed", &format!("every {}, read or not, while it is held", show_duration(every)));
        }
        if let Some(column) = &namespace.version {
            page.line("version", &format!("the column {column}: an older row never replaces a newer one"));
        }
        if namespace.shape > 0 {
            let text = format!("{}: copies of another shape in a shared tier are not read", namespace.shape);
            page.line("shape", &text);
        }
    }

    fn stale(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        let ttl = namespace.longest();
        let (refresh, error) = (namespace.stale_while_revalidate, namespace.stale_if_error);
        if namespace.secure {
            page.line("stale", "never served; a read that cannot be loaded fails");
        } else if refresh.is_zero() && error.is_zero() {
            page.line("stale", "never served; a read past that waits for the load, or fails with it");
        }
        if !refresh.is_zero() {
            let until = show_duration(ttl + refresh);
            page.line("stale", &format!("served until {until} old while one refresh is on its way"));
        }
        if !error.is_zero() {
            let until = show_duration(ttl + error);
            page.line(
                "on error",
                &format!("served until {until} old while the source fails, with its age told"),
            );
        }
    }

    fn bound(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        let refresh = namespace.stale_while_revalidate;
        let longest = match namespace.ttl {
            _ if namespace.longest() > namespace.ttl.longest() => "at_most",
            Ttl::Sliding { .. } => "max",
            Ttl::Fixed(_) => "ttl",
        };
        let windows = if refresh.is_zero() { "" } else { " + stale_while_revalidate" };
        let sum = format!("{longest}{windows} + load time-out");
        let mut text =
            format!("no answer is older than {} with a healthy source ({sum})", self.bound_shown());
        if !namespace.stale_if_error.is_zero() {
            let failing = namespace.longest() + namespace.stale_if_error;
            let slow = namespace
                .loader
                .soft_timeout
                .map(|soft| format!(" or takes longer than {}", show_duration(soft)));
            text.push_str(&format!(
                ", nor than {} with one that fails{} ({longest} + stale_if_error)",
                show_duration(failing),
                slow.unwrap_or_default(),
            ));
        }
        page.line("bound", &text);
    }

    /// How the source is asked, and when it is left alone.
    fn load(&self, page: &mut Explanation) {
        let loader = &self.namespace.loader;
        let mut text = format!("fails after {}", show_duration(loader.timeout));
        if let Some(soft) = loader.soft_timeout {
            text.push_str(&format!(
                "; a reader who may have a stale value takes it after {}",
                show_duration(soft)
            ));
        }
        page.line("load", &text);
        let Breaker { failures, successes, pause } = &loader.breaker;
        let text = format!(
            "after {failures} failures in a row no load for {}, then single ones until {successes} succeed",
            show_duration(*pause)
        );
        page.line("breaker", &text);
        if let Some(membership) = &self.namespace.membership {
            let teller = if membership.is_sole_writer {
                "it is told of new rows by the app's own transactions, which are their only writer"
            } else {
                "it is told of new rows by the feed of the database"
            };
            let rate = show_rate(membership.false_positives_millionths);
            let room =
                format!("room for {} keys, {rate} of the others asked for all the same", membership.keys);
            let text = format!("what the listing does not have is absent without a query ({room}); {teller}");
            page.line("membership", &text);
        }
    }

    /// The bound on an answer's age with a healthy source.
    fn bound_shown(&self) -> String {
        let namespace = self.namespace;
        show_duration(namespace.longest() + namespace.stale_while_revalidate + namespace.loader.timeout)
    }

    fn invalidation(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        let mut seen = vec!["DEL, UNLINK and FB.INVALIDATE of the key"];
        if !namespace.tags.is_empty() {
            seen.push("the invalidation of its tags");
        }
        let Some(source) = &namespace.source else {
            if namespace.mode == Mode::Cache && !namespace.tags.is_empty() {
                page.gap();
                page.line("dropped by", &seen.join("; "));
                self.tags(page);
            }
            return;
        };
        page.gap();
        let fed = source
            .sql
            .as_ref()
            .filter(|sql| self.declaration.databases.get(&sql.database).is_some_and(|it| it.feed));
        let are_told = namespace.dependencies().is_some();
        let changes = match (source.sql.is_some(), fed.is_some()) {
            (false, _) => None,
            (true, true) if are_told => Some("row changes, whoever makes them, by the feed"),
            (true, true) => Some("any row change in the database, whoever makes it, by the feed"),
            (true, false) if are_told => Some("row changes that an app makes in transactions"),
            (true, false) => Some("any change of the database that an app makes in a transaction"),
        };
        seen.extend(changes);
        page.line("dropped by", &seen.join("; "));
        let old = if namespace.stale_if_error.is_zero() {
            ""
        } else {
            ", and gets the old value only if the source fails"
        };
        page.line("made stale by", &format!("FB.EXPIRE of the key: the next read loads{old}"));
        self.tags(page);
        if fed.is_none() {
            page.line(
                "not seen",
                &format!(
                    "changes that others make to the source (no feed): such a change shows after {} at the latest while the source is \
                     healthy",
                    self.bound_shown()
                ),
            );
        }
    }

    fn tags(&self, page: &mut Explanation) {
        let of_key = |name: &str| self.namespace.key.names().any(|parameter| parameter == name);
        for tag in &self.namespace.tags {
            let by_row = if tag.names().all(of_key) { "" } else { " (by its row)" };
            page.line("tag", &format!("{tag}{by_row}"));
        }
    }

    fn verbs(&self, page: &mut Explanation) {
        let namespace = self.namespace;
        page.gap();
        let has_source = namespace.source.is_some();
        let set = match namespace.writes {
            Writes::Refuse => "refused: the source has the truth".into(),
            Writes::Cache if has_source => {
                "kept here, hiding the source until its TTL or an invalidation; the source is not touched"
                    .to_owned()
            }
            Writes::Cache => "kept here until its TTL; may be lost at any time".into(),
            Writes::Through => format!("goes to {} first, then here", self.sink()),
            Writes::Behind => format!("is journaled and answered, and goes to {} later", self.sink()),
            Writes::Store => "written, durable as declared".into(),
        };
        // What is kept here is of the declared kind alone.
        let kept = match namespace.writes {
            Writes::Cache | Writes::Store => namespace.kind,
            Writes::Refuse | Writes::Through | Writes::Behind => None,
        };
        match kept {
            Some(kind @ (Kind::Hash | Kind::SortedSet)) => {
                page.line("SET", &format!("refused (FBKIND): values are {}", plural(kind)));
                page.line(if kind == Kind::Hash { "HSET" } else { "ZADD" }, &set);
            }
            Some(Kind::Counter) => page.line("SET", &format!("of a 64-bit integer is {set}")),
            Some(Kind::Blob) | None => page.line("SET", &set),
        }
        if let Some(kind) = kept {
            page.line("other kinds", &format!("refused (FBKIND): values are {}", plural(kind)));
        }
        let del = match (namespace.mode, &namespace.sink) {
            (Mode::Store, _) => "deletes the value".to_owned(),
            (Mode::Cache, Some(_)) => format!("deletes from {}, then here", self.sink()),
            (Mode::Cache, None) if has_source => "drops the copy; the next read loads".into(),
            (Mode::Cache, None) => "drops the value".into(),
        };
        page.line("DEL", &del);
        if namespace.exists == Exists::Load {
            page.line("EXISTS", "and HEXISTS load what is not held");
        }
    }

    fn sink(&self) -> &'static str {
        match self.namespace.sink {
            Some(Sink::Http(_)) => "the HTTP sink",
            _ => "the database",
        }
    }

    fn memory(&self, page: &mut Explanation) {
        let memory = &self.namespace.memory;
        let all = self.declaration.memory.clone().unwrap_or_default().budget_bytes;
        let budget = match (memory.budget, memory.budget.bytes(all)) {
            (Budget::Share(share), Some(bytes)) => {
                format!("{} of its own ({share} % of all)", show_size(bytes))
            }
            (_, Some(bytes)) => format!("{} of its own", show_size(bytes)),
            (_, None) => format!("shares {} with the others", show_size(all)),
        };
        let policy = match memory.policy {
            EvictionPolicy::S3Fifo => "S3-FIFO",
            EvictionPolicy::Lru => "least recently used first",
            EvictionPolicy::Lfu => "least frequently used first",
        };
        page.line("memory", &format!("{budget}; evicts by {policy}"));
        self.warm(page);
        if let Some(quota) = &self.namespace.quota {
            let limit = |limit: Option<u64>, what: &str| match limit {
                Some(limit) => format!("{limit} keys {what}"),
                None => format!("any number of keys {what}"),
            };
            let text = format!(
                "{} and {} a day, in UTC",
                limit(quota.reads, "read"),
                limit(quota.writes, "written")
            );
            page.line("quota", &text);
        }
        if self.namespace.workers_kv_limits {
            page.line(
                "limits",
                "those of Workers KV: values live for 60s or longer, one write of a key a second",
            );
        }
        if self.namespace.logs_operations {
            page.line("logged", "each request to it, in a line of the target forebay_server::operations");
        }
    }

    fn warm(&self, page: &mut Explanation) {
        let Some(warm) = &self.namespace.warm else { return };
        let listed: usize = warm.parameters.values().map(Vec::len).product();
        let listed = (!warm.parameters.is_empty() && listed > 0).then(|| format!("{listed} listed keys"));
        let hottest = warm.hottest.map(|keys| format!("the {keys} keys most read in the last run"));
        let query = warm.query.as_ref().map(|query| format!("the keys that it is told by {}", query.shown()));
        let all = warm.all.then(|| "all keys that exist".to_owned());
        let parts: Vec<String> = [listed, query, all, hottest].into_iter().flatten().collect();
        page.line("warmed", &format!("at the start, in the background: {}", parts.join(" and ")));
    }

    fn unserved(&self, page: &mut Explanation) {
        let mut unserved = served::unserved_in(self.raw, "namespace.*.");
        let sql = self.namespace.source.as_ref().and_then(|source| source.sql.as_ref());
        let databases = self.declaration.raw.tables("database");
        for (name, table) in databases.filter(|(name, _)| sql.is_some_and(|sql| sql.database == **name)) {
            let of_database = served::unserved_in(table, "database.*.");
            unserved.extend(of_database.into_iter().map(|option| format!("{option} of the database {name}")));
        }
        if !unserved.is_empty() {
            page.gap();
            page.line(
                "not served",
                &format!("{}: read and checked, but this version refuses to serve it", unserved.join(", ")),
            );
        }
    }
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Blob => "blobs",
        Kind::Hash => "hashes",
        Kind::SortedSet => "sorted sets",
        Kind::Counter => "counters",
    }
}

/// What the rows of a key make, where that is not the usual one row as an object.
fn rows(page: &mut Explanation, sql: &SqlSource) {
    let most = format!("at most {} and {}", sql.rows_max, show_size(sql.size_max));
    let text = match &sql.shape {
        RowShape::One => return,
        RowShape::Many => format!("all of a key, {most}: a JSON array in the query's order"),
        RowShape::Columns => "one of a key; its columns are the fields".into(),
        RowShape::Fields => format!("each is a field, {most}; its value is the row as JSON"),
        RowShape::Members { member, score } => format!("each is the member {member} by {score}, {most}"),
    };
    page.line("rows", &text);
}

fn of_table(table: &str, columns: &[String]) -> String {
    if columns.is_empty() { format!("all of {table}") } else { format!("{table} by {}", columns.join(", ")) }
}

fn durable(durability: Durability) -> String {
    match durability {
        Durability::Always => "on disk before a write is acknowledged".into(),
        Durability::Interval(interval) => format!("on disk within {} of a write", show_duration(interval)),
        Durability::None => "on disk whenever the system writes it".into(),
    }
}
