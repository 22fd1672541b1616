//! `[namespace.NAME]`: one policy, every option with its value.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::namespace::pattern::Pattern;

use super::super::fault::{KeyFault, PolicyFault, ValueFault};
use super::super::query::{Lookup, Query};
use super::super::raw::{Entry, Table, Value};
use super::super::report::Findings;
use super::super::units;
use super::fresh_until::{FreshUntil, fresh_until};
use super::loader::{Loader, loader};
use super::membership::{Membership, membership};
use super::memory::{NamespaceMemory, memory};
use super::sink::{Sink, sink};
use super::source::{KeyNames, Source, aliases, source};
use super::warm::{self, Warm};
use super::{Context, checked_name, keys, number, required, rules};

/// The longest that an absence is believed unless the namespace says otherwise.
const ABSENT_TTL_MAX: Duration = Duration::from_secs(30);
/// How often a store's writes reach the disk unless the namespace says otherwise.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The name of the store that has every key which no declared namespace of its keyspace has.
pub const DEFAULT_STORE: &str = "default";

/// A named part of a keyspace with one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The pattern of its keys.
    pub key: Pattern,
    /// What a value is; where it is not said, a blob of a source, and anything where none is.
    pub kind: Option<Kind>,
    /// The pattern of a hash's field names.
    pub field: Option<Pattern>,
    /// Whether its source or it has the truth.
    pub mode: Mode,
    /// How long a value is fresh.
    pub ttl: Ttl,
    /// The column that says until when a row is fresh.
    pub fresh_until: Option<FreshUntil>,
    /// How long an absence is believed; zero: not at all. Default: the TTL, at most 30 s.
    pub absent_ttl: Duration,
    /// How long past its TTL a value is served while it is refreshed. Default: zero.
    pub stale_while_revalidate: Duration,
    /// How long past its TTL a value is served when the source fails. Default: zero.
    pub stale_if_error: Duration,
    /// How long before its TTL ends a read starts a refresh.
    pub refresh_ahead: Option<Duration>,
    /// How often what is held is refreshed unread.
    pub refresh_every: Option<Duration>,
    /// The most that a TTL is shortened by chance. Default: zero.
    pub jitter: Duration,
    /// Whether stale answers are forbidden.
    pub secure: bool,
    /// The column that orders values.
    pub version: Option<String>,
    /// The shape of its rows. Default: 0.
    pub shape: u32,
    /// Groups that a value is invalidated with; parameters are those of the key and columns.
    pub tags: Vec<Pattern>,
    /// What a client's write does.
    pub writes: Writes,
    /// Where a missing key is loaded from.
    pub source: Option<Source>,
    /// By another name's parameter: the query from it to the key's parameter.
    pub aliases: BTreeMap<String, Query>,
    /// Where writes go.
    pub sink: Option<Sink>,
    /// What is loaded at the start.
    pub warm: Option<Warm>,
    /// When a store's write is on disk; nothing for a cache.
    pub durability: Option<Durability>,
    /// How the source is asked.
    pub loader: Loader,
    /// The filter of the keys that exist.
    pub membership: Option<Membership>,
    /// How much is asked of it in a day.
    pub quota: Option<Quota>,
    /// Whether each request to it has a line in the log. Default: no.
    pub logs_operations: bool,
    /// Whether it refuses what Workers KV refuses. Default: no.
    pub workers_kv_limits: bool,
    /// Its part of the memory tier.
    pub memory: NamespaceMemory,
    /// What `EXISTS` answers from.
    pub exists: Exists,
    /// By table: the columns that carry the key's parameters; empty where any change concerns every key.
    pub depends_on: BTreeMap<String, Vec<String>>,
}

impl Namespace {
    /// Whether `other` says the same of what is built: all but the lists of what is to be warm, limits and logs.
    #[must_use]
    pub fn is_built_like(&self, other: &Self) -> bool {
        let built = |namespace: &Self| Self {
            warm: namespace.warm.as_ref().and_then(Warm::built),
            quota: None,
            logs_operations: false,
            workers_kv_limits: false,
            ..namespace.clone()
        };
        built(self) == built(other)
    }

    /// The names of the databases that it loads from or writes to.
    pub fn databases(&self) -> impl Iterator<Item = &String> {
        let source = self.source.as_ref().and_then(|source| source.sql.as_ref()).map(|sql| &sql.database);
        let sink = match &self.sink {
            Some(Sink::Sql(sql)) => Some(&sql.database),
            Some(Sink::Http(_)) | None => None,
        };
        source.into_iter().chain(sink)
    }

    /// How long after its load began a value is fresh at most.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let said = self.fresh_until.as_ref().and_then(|of| of.at_most);
        self.ttl.longest().max(said.unwrap_or_default())
    }

    /// Whether it is itself the truth, or has writes that nobody else has yet: it cannot be changed while it is served.
    #[must_use]
    pub fn has_truth(&self) -> bool {
        self.mode == Mode::Store || self.writes == Writes::Behind
    }

    /// The tables that its rows come from, as they are declared, or else as its query tells them; `None` where it
    /// does not: it is made of whatever its database holds, then.
    #[must_use]
    pub fn dependencies(&self) -> Option<Vec<Lookup>> {
        if !self.depends_on.is_empty() {
            let declared = |(table, columns): (&String, &Vec<String>)| Lookup {
                table: table.clone(),
                columns: columns.clone(),
            };
            return Some(self.depends_on.iter().map(declared).collect());
        }
        let sql = self.source.as_ref()?.sql.as_ref()?;
        let mut reads = sql.query.reads.clone()?;
        for single in sql.fields.iter().flat_map(|fields| fields.reads.iter().flatten()) {
            if !reads.iter().any(|read| read.table == single.table) {
                reads.push(Lookup { table: single.table.clone(), columns: Vec::new() });
            }
        }
        sql.fields.as_ref().is_none_or(|fields| fields.reads.is_some()).then_some(reads)
    }

    /// The column of `table` that is the name of a field as it stands: what the query for single fields looks it up by.
    #[must_use]
    pub fn field_column(&self, table: &str) -> Option<&str> {
        let field = self.field.as_ref()?;
        let fields = self.source.as_ref()?.sql.as_ref()?.fields.as_ref()?;
        let [read] = fields.reads.as_deref()? else { return None };
        let is_alone =
            field.names().len() == 1 && field.literal_prefix().is_empty() && field.fill(&[b""]).is_empty();
        let column = read.columns.get(self.key.names().len())?;
        (is_alone && read.table == table && read.columns.len() == self.key.names().len() + 1)
            .then_some(column)
    }
}

/// How much is asked of a namespace in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The most keys that are read.
    pub reads: Option<u64>,
    /// The most keys that are written.
    pub writes: Option<u64>,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes with a content type.
    Blob,
    /// Fields with values.
    Hash,
    /// Members with scores.
    SortedSet,
    /// A number.
    Counter,
}

/// Who has the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The source; what is held can be lost at any time.
    Cache,
    /// The namespace itself: never evicted, durable.
    Store,
}

/// How long a value is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So long from the moment its load began.
    Fixed(Duration),
    /// Renewed by every use.
    Sliding {
        /// It ends this long after the last use.
        idle: Duration,
        /// It ends this long after the value was made.
        max: Duration,
    },
}

impl Ttl {
    /// How long a value is fresh that nobody uses.
    #[must_use]
    pub fn shortest(self) -> Duration {
        match self {
            Self::Fixed(ttl) => ttl,
            Self::Sliding { idle, .. } => idle,
        }
    }

    /// How long a value is fresh at most.
    #[must_use]
    pub fn longest(self) -> Duration {
        match self {
            Self::Fixed(ttl) => ttl,
            Self::Sliding { max, .. } => max,
        }
    }
}

/// What a client's write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// It is an error.
    Refuse,
    /// It is kept here until its TTL or an invalidation; the source is not touched.
    Cache,
    /// To the sink first, then the answer.
    Through,
    /// Journaled, answered, and to the sink later.
    Behind,
    /// It changes the truth: the namespace is a store.
    Store,
}

/// When an acknowledged write of a store is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Always,
    /// At the end of the interval.
    Interval(Duration),
    /// Whenever the system likes.
    None,
}

/// What `EXISTS` and `HEXISTS` answer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    /// What is held.
    Held,
    /// A load.
    Load,
}

pub(super) fn namespace(
    name: &str,
    table: &Table,
    context: &Context,
    findings: &mut Findings,
) -> Option<Namespace> {
    named_and_whole(name, table, findings);
    let key = keys::pattern(table, "key", findings);
    let field = keys::pattern(table, "field", findings);
    let kind = kind(table);
    let ttl = ttl(table, findings);
    let mode = rules::mode(table, context, findings);
    rules::times(table, ttl, findings);
    rules::kind(table, findings);
    rules::workers_kv(table, ttl, findings);
    check_field(table, key.as_ref(), field.as_ref(), findings);
    let names = KeyNames { key: key.as_ref(), field: field.as_ref(), kind: kind.unwrap_or(Kind::Blob) };
    let source =
        table.table("source").map(|raw| source(raw, &names, table.get("version"), context, findings));
    let aliases = aliases(table, key.as_ref(), findings);
    let sink = table.table("sink").map(|raw| sink(raw, &names, context, findings));
    let writes = rules::writes(table, findings);
    let columns = source.as_ref().and_then(|source| source.as_ref()?.sql.as_ref()?.query.columns.clone());
    let has_sql = table.table("source").is_some_and(|source| source.has("sql"));
    let fresh_until = table.has("fresh_until").then(|| fresh_until(table, columns.as_deref(), ttl, findings));
    let tags = tags(table, &names, has_sql, columns.as_deref(), findings);
    let loader = loader(table.table("loader"), table.has("stale_if_error"), findings);
    let membership = membership(table, findings);
    let memory = memory(table.table("memory"), context.budget_bytes, findings);
    let warm = warm::warm(table, key.as_ref(), findings);
    let depends_on = depends_on(table, key.as_ref(), findings);
    let durability = durability(table, findings);
    let version =
        if table.has("version") { Some(checked_name(table, "version", "a column", findings)?) } else { None };
    let span = |option: &str| table.duration(option).unwrap_or_default();
    let ttl = ttl?;
    Some(Namespace {
        name: name.to_owned(),
        key: key?,
        kind,
        field,
        mode,
        ttl,
        fresh_until: super::transposed(fresh_until)?,
        absent_ttl: table.duration("absent_ttl").unwrap_or_else(|| ttl.shortest().min(ABSENT_TTL_MAX)),
        stale_while_revalidate: span("stale_while_revalidate"),
        stale_if_error: span("stale_if_error"),
        refresh_ahead: table.duration("refresh_ahead"),
        refresh_every: table.duration("refresh_every"),
        jitter: span("jitter"),
        secure: table.flag("secure").unwrap_or(false),
        version,
        shape: number(table, "shape").unwrap_or(0),
        tags,
        writes,
        source: super::transposed(source)?,
        aliases,
        sink: super::transposed(sink)?,
        warm,
        durability: (mode == Mode::Store).then_some(durability),
        loader,
        membership,
        quota: table.table("quota").map(quota),
        logs_operations: table.choice("log") == Some("operations"),
        workers_kv_limits: table.flag("workers_kv_limits").unwrap_or(false),
        memory,
        exists: if table.choice("exists") == Some("load") { Exists::Load } else { Exists::Held },
        depends_on,
    })
}

/// Whether it may be called so, and has what it cannot do without.
fn named_and_whole(name: &str, table: &Table, findings: &mut Findings) {
    if name == DEFAULT_STORE {
        findings.add(table.name_span.clone(), ValueFault::ReservedName { name: DEFAULT_STORE });
    }
    required(table, "key", "write the pattern of its keys, like `key = \"stock:{code}\"`", findings);
    required(table, "ttl", "say how long a value is fresh, like `ttl = \"3s\"`", findings);
}

fn quota(table: &Table) -> Quota {
    Quota { reads: table.integer("reads"), writes: table.integer("writes") }
}

fn kind(table: &Table) -> Option<Kind> {
    match table.choice("kind")? {
        "hash" => Some(Kind::Hash),
        "sorted_set" => Some(Kind::SortedSet),
        "counter" => Some(Kind::Counter),
        _ => Some(Kind::Blob),
    }
}

fn ttl(table: &Table, findings: &mut Findings) -> Option<Ttl> {
    let Some(sliding) = table.table("ttl") else { return table.duration("ttl").map(Ttl::Fixed) };
    required(sliding, "idle", "write `ttl = { idle = \"24h\", max = \"30d\" }`", findings);
    required(sliding, "max", "write `ttl = { idle = \"24h\", max = \"30d\" }`", findings);
    let (idle, max) = (sliding.duration("idle")?, sliding.duration("max")?);
    if idle > max {
        let fault = PolicyFault::IdleOverMax { max: units::show_duration(max) };
        findings.add(sliding.span("idle"), fault);
    }
    Some(Ttl::Sliding { idle, max })
}

fn check_field(table: &Table, key: Option<&Pattern>, field: Option<&Pattern>, findings: &mut Findings) {
    let (Some(key), Some(field)) = (key, field) else { return };
    for name in field.names().filter(|name| keys::kind_of(key, name).is_some()) {
        findings.add_with(
            table.span("field"),
            KeyFault::SharedParameter { name: name.to_owned() },
            table.span("key"),
            "here",
        );
    }
}

/// `columns`: of its query, if they can be told.
fn tags(
    table: &Table,
    names: &KeyNames<'_>,
    has_sql: bool,
    columns: Option<&[String]>,
    findings: &mut Findings,
) -> Vec<Pattern> {
    let mut tags = Vec::new();
    for entry in table.texts("tags") {
        let Some(tag) = keys::entry_pattern(entry, findings) else { continue };
        let Some(key) = names.key else { continue };
        let is_parameter = |name: &str| {
            [Some(key), names.field]
                .into_iter()
                .flatten()
                .any(|pattern| keys::kind_of(pattern, name).is_some())
        };
        let may_be_column =
            |name: &str| columns.map_or(has_sql, |columns| columns.iter().any(|column| column == name));
        for name in tag.names().filter(|name| !is_parameter(name) && !may_be_column(name)) {
            findings.add(entry.span.clone(), KeyFault::UnknownTagParameter { name: name.to_owned() });
        }
        tags.push(tag);
    }
    tags
}

fn depends_on(
    table: &Table,
    key: Option<&Pattern>,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    for (name, entry) in table.map("depends_on") {
        let Value::Texts(columns) = &entry.value else { continue };
        let columns: Vec<String> =
            columns.iter().filter_map(Entry::text).map(|column| column.expose().to_owned()).collect();
        let names = key.map(keys::names).unwrap_or_default();
        if key.is_some() && !columns.is_empty() && columns.len() != names.len() {
            let fault = KeyFault::DependencyColumns {
                table: name.clone(),
                given: columns.len(),
                parameters: keys::listed(&names),
            };
            findings.add(entry.span.clone(), fault);
        }
        tables.insert(name.clone(), columns);
    }
    tables
}

fn durability(table: &Table, findings: &mut Findings) -> Durability {
    let default = Durability::Interval(FLUSH_INTERVAL);
    let Some(text) = table.text("durability") else { return default };
    match (text.expose(), text.expose().strip_prefix("interval ")) {
        ("always", _) => Durability::Always,
        ("none", _) => Durability::None,
        (_, Some(interval)) => match units::duration(interval) {
            Ok(interval) if !interval.is_zero() => Durability::Interval(interval),
            Err(fault) if !text.is_secret() => {
                findings.add(table.span("durability"), fault);
                default
            }
            _ => {
                findings.add(table.span("durability"), ValueFault::BadDurability);
                default
            }
        },
        _ => {
            findings.add(table.span("durability"), ValueFault::BadDurability);
            default
        }
    }
}
