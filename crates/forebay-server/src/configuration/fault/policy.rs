//! Faults of options that contradict one another.

use super::{Advice, advice};

#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyFault {
    #[error("`secure = true` forbids stale answers, and `{option}` allows them")]
    SecureAndStale { option: &'static str },
    #[error("a store is itself the truth, so nothing in it is ever stale: `{option}` has no meaning")]
    StaleInStore { option: &'static str },
    #[error("without a source there is nothing to load: `{option}` has no meaning")]
    NeedsSource { option: &'static str },
    #[error("a store is itself the truth and cannot have a source")]
    StoreWithSource,
    #[error("a store is itself the truth and cannot have a sink")]
    StoreWithSink,
    #[error("without a source, `mode` must be given")]
    NoMode,
    #[error("with a sink, `writes` must be `\"through\"` or `\"behind\"`")]
    SinkUnused,
    #[error("`writes = \"{writes}\"` needs a sink to write to")]
    NoSink { writes: &'static str },
    #[error("without a source nobody could read what is written to the sink")]
    SinkWithoutSource,
    #[error("a store writes: `writes` has no meaning in it")]
    WritesInStore,
    #[error("two sinks cannot both have the truth")]
    TwoSinks,
    #[error("two sources need `source.merge` to say which comes first")]
    NoMerge,
    #[error("`source.merge` must name the declared sources, each once")]
    BadMerge { is_alone: bool },
    #[error("`{option}` is {value}, which is not shorter than `ttl`, {ttl}")]
    NotShorter { option: &'static str, value: String, ttl: String },
    #[error("a value that every use renews has no stale windows: `{option}` has no meaning")]
    SlidingAndStale { option: &'static str },
    #[error(
        "`refresh_every` is {value}, and what is held ends after {ends}: nothing would be left to refresh"
    )]
    RefreshTooLate { value: String, ends: String },
    #[error("`at_most` is {at_most}, and a field ends with its hash, after {ttl} at the latest")]
    FieldOutlivesHash { at_most: String, ttl: String },
    #[error("`idle` is longer than `max`, so it would never end a value")]
    IdleOverMax { max: String },
    #[error("`soft_timeout` is longer than `timeout`, so it would never be reached")]
    SoftOverHard { timeout: String },
    #[error("`soft_timeout` needs a stale value to answer with")]
    SoftWithoutStale,
    #[error("`durability` belongs to a store; a cache can be lost at any time")]
    DurabilityInCache,
    #[error("a shared tier cannot promise `durability = \"always\"`")]
    AlwaysOnShared,
    #[error("`warm` asks for nothing")]
    WarmEmpty,
}

impl PolicyFault {
    fn advice(&self) -> Advice {
        match self {
            Self::SecureAndStale { .. } => advice("allows stale answers", "leave one of them out"),
            Self::StaleInStore { option } => advice("in a store", format!("leave `{option}` out")),
            Self::NeedsSource { option } => {
                advice("nothing to load", format!("leave `{option}` out, or declare `source.sql`"))
            }
            Self::StoreWithSource | Self::StoreWithSink => {
                advice("in a store", "leave it out, or write `mode = \"cache\"`")
            }
            Self::FieldOutlivesHash { ttl, .. } => advice(
                "longer than its hash",
                format!(
                    "leave `at_most` out, or give at most `ttl`, {ttl}; a longer `ttl` is that of the hash"
                ),
            ),
            Self::NoMode => advice(
                "no `mode` and no `source`",
                "write `mode = \"store\"` to keep what is written, or `mode = \"cache\"` if it may be lost",
            ),
            Self::SinkUnused => advice(
                "never written to",
                "write `writes = \"through\"` (the sink first, then the answer) or `\"behind\"` (journaled, written later)",
            ),
            Self::NoSink { .. } => {
                advice("nowhere to write", "declare `sink.sql` or `sink.http`, or leave `writes` out")
            }
            Self::SinkWithoutSource => advice(
                "written, and never read",
                "declare `source.sql` or `source.http`, or leave the sink out",
            ),
            Self::WritesInStore => advice("in a store", "leave `writes` out"),
            Self::TwoSinks => advice("a second one", "keep `sink.sql` or `sink.http`, not both"),
            Self::NoMerge => {
                advice("two sources", "add `source.merge = [\"sql\", \"http\"]`, or leave one of them out")
            }
            Self::BadMerge { is_alone: true } => {
                advice("not the sources", "leave `merge` out: there is one source")
            }
            Self::BadMerge { is_alone: false } => advice(
                "not the sources",
                "write `merge = [\"sql\", \"http\"]`, the one that is laid over the other last",
            ),
            Self::NotShorter { option, ttl, .. } => {
                advice("too long", format!("write `{option}` shorter than {ttl}, or a longer `ttl`"))
            }
            Self::SlidingAndStale { option } => advice(
                "with a sliding TTL",
                format!("leave `{option}` out, or write one duration: `ttl = \"24h\"`"),
            ),
            Self::RefreshTooLate { ends, .. } => {
                advice("too late", format!("write `refresh_every` shorter than {ends}, or a longer `ttl`"))
            }
            Self::IdleOverMax { max } => advice("too long", format!("write `idle` of at most {max}")),
            Self::SoftOverHard { timeout } => {
                advice("too long", format!("write `soft_timeout` of at most {timeout}"))
            }
            Self::SoftWithoutStale => {
                advice("nothing to answer with", "declare `stale_if_error`, or leave `soft_timeout` out")
            }
            Self::DurabilityInCache => advice("in a cache", "leave it out, or write `mode = \"store\"`"),
            Self::AlwaysOnShared => advice(
                "not on a shared tier",
                "its durability is that server's: leave it out, or leave `[shared]` out",
            ),
            Self::WarmEmpty => {
                advice("nothing", "list values of a parameter, or say `query`, `all` or `hottest = N`")
            }
        }
    }
}

super::fault_by_advice!(PolicyFault);
