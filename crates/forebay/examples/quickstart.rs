//! The library in one file: a quote is loaded once, read from memory after that, and loaded anew when it was invalidated.
//!
//! `cargo run -p forebay --example quickstart`

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay::{Forebay, ReadOutcome, load_many, secs};

/// What the namespace holds: any Rust value, as it is.
#[derive(Debug)]
struct Quote {
    /// In hundredths.
    price: u64,
}

/// Stands in for a table of quotes, in which only 600000 is listed.
static PRICE: AtomicU64 = AtomicU64::new(11_23);

/// The query: the codes that were missed together, in one call; a code that is not in the answer does not exist.
async fn fetch_quotes(codes: Vec<String>) -> Result<HashMap<String, Quote>, Infallible> {
    let listed = codes.into_iter().filter(|code| code == "600000");
    Ok(listed.map(|code| (code, Quote { price: PRICE.load(Ordering::Relaxed) })).collect())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(&mut std::io::stdout()).await
}

/// Reads one quote until it has come from everywhere, and tells each read to `out`.
pub(crate) async fn run(out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let forebay = Forebay::new()?;
    let quotes = forebay
        .namespace::<Quote>("quotes")
        .key("stock:{code}")
        .ttl(secs(3))
        .source(load_many(fetch_quotes))
        .build()?;
    let quote: Option<Arc<Quote>> = quotes.get("600000").await?;
    writeln!(out, "first read: {quote:?}")?;

    let (quote, outcome) = quotes.get_with_outcome("600000").await?;
    tell(out, quote.as_deref(), &outcome)?;

    PRICE.store(11_31, Ordering::Relaxed);
    quotes.invalidate("600000").await?;
    let (quote, outcome) = quotes.get_with_outcome("600000").await?;
    tell(out, quote.as_deref(), &outcome)?;

    let (quote, outcome) = quotes.get_with_outcome("999999").await?;
    tell(out, quote.as_deref(), &outcome)?;
    Ok(())
}

/// One line on a read: the price, where it came from, how good it is and how old.
fn tell(out: &mut impl Write, quote: Option<&Quote>, outcome: &ReadOutcome) -> std::io::Result<()> {
    let price = quote.map_or_else(
        || "not listed".to_owned(),
        |quote| format!("{}.{:02}", quote.price / 100, quote.price % 100),
    );
    let ReadOutcome { tier, freshness, age, .. } = outcome;
    writeln!(out, "{price}: {freshness:?} from {}, {} s old", tier.as_str(), age.as_secs())
}
