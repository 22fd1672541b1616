//! Plausible prices for instruments without recorded bars.
//!
//! A pure function of the instrument, the session's number and the minute: every run gives the same, and no bar is kept.
//! Each session's close is drawn around a base price; within the session the price wanders from the last close to this one
//! by noise on lattices of several widths that fades out towards the close. A share never leaves the band around its
//! previous close ([`limits`](crate::limits)).
//!
//! It leaves out what real markets have: events, suspensions, correlation.

use crate::calendar::MINUTES;
use crate::limits::Limits;
use crate::money::Milli;

const MILLION: i64 = 1_000_000;
/// Width in minutes and reach in millionths of each layer of noise within a session.
const LAYERS: [(i64, i64); 4] = [(60, 6_000), (15, 3_000), (5, 1_500), (1, 500)];

/// What the generator knows about an instrument.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    /// `SH` or `SZ`.
    pub market: &'a str,
    /// The code.
    pub code: &'a str,
    /// The price its path stays near; `None` draws one.
    pub base: Option<Milli>,
    /// What moves how far.
    pub character: Character,
    /// Width of the band of a day, in hundredths of the previous close.
    pub band_percent: i64,
}

/// How far a price may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Character {
    /// A share.
    Share,
    /// A share under special treatment, which moves less.
    SpecialTreatment,
    /// An index, calmer than its shares.
    Index,
}

/// The state of one instrument at the end of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The price, in whole hundredths.
    pub price: Milli,
    /// The close of the session before.
    pub previous_close: Milli,
    /// Shares traded since the session opened, in whole lots of 100.
    pub volume: i64,
}

impl Character {
    /// Farthest distance of a session's close from the base, in millionths.
    const fn reach(self) -> i64 {
        match self {
            Self::Share => 30_000,
            Self::SpecialTreatment => 12_000,
            Self::Index => 10_000,
        }
    }
}

/// The state in minute `minute` (0 to 239) of session number `session`; later minutes are those of the close.
#[must_use]
pub fn at(seed: Seed<'_>, session: i64, minute: u16) -> Generated {
    let elapsed = i64::from(minute.min(MINUTES - 1)) + 1;
    let (previous_close, close) = (close(seed, session - 1), close(seed, session));
    let whole = i64::from(MINUTES);
    let line =
        Milli::new(previous_close.thousandths() + (close - previous_close).thousandths() * elapsed / whole);
    let fade = elapsed * (whole - elapsed) * 4 * MILLION / (whole * whole);
    let wander = noise(seed, session, elapsed) * fade / MILLION;
    let price = line.scaled(MILLION + wander, MILLION).to_hundredth();
    let Limits { low, high } = Limits::within(seed.band_percent, previous_close);
    Generated { price: price.clamp(low, high), previous_close, volume: volume(seed, session, elapsed) }
}

fn close(seed: Seed<'_>, session: i64) -> Milli {
    let base = seed.base.unwrap_or_else(|| drawn_base(seed));
    let reach = seed.character.reach();
    let distance = draw(seed, [1, session, 0]).i64(-reach..=reach);
    base.scaled(MILLION + distance, MILLION).to_hundredth()
}

/// 3 to 48 yuan, low prices more often; 1,000 to 4,000 points for an index.
fn drawn_base(seed: Seed<'_>) -> Milli {
    let mut random = draw(seed, [0, 0, 0]);
    match seed.character {
        Character::Index => Milli::new(random.i64(1_000_000..4_000_000)),
        Character::Share | Character::SpecialTreatment => {
            let doublings = random.u32(0..4);
            Milli::new(random.i64(3_000..6_000) << doublings)
        }
    }
}

/// Distance from the line in millionths, between lattice points by straight lines.
fn noise(seed: Seed<'_>, session: i64, elapsed: i64) -> i64 {
    LAYERS
        .iter()
        .map(|&(width, reach)| {
            let point = |index| draw(seed, [width + 1, session, index]).i64(-reach..=reach);
            let (index, beyond) = (elapsed / width, elapsed % width);
            (point(index) * (width - beyond) + point(index + 1) * beyond) / width
        })
        .sum()
}

/// Busier near the opening and the close than at noon.
fn volume(seed: Seed<'_>, session: i64, elapsed: i64) -> i64 {
    if seed.character == Character::Index {
        return 0;
    }
    let usual_lots = draw(seed, [-1, 0, 0]).i64(20..2_000);
    let lots = |minute: i64| {
        let from_noon = (minute - 120).abs();
        let usual = usual_lots * (60 + from_noon) / 120;
        draw(seed, [-2, session, minute]).i64(0..=usual * 2)
    };
    (0..elapsed).map(lots).sum::<i64>() * 100
}

/// A generator of its own for each instrument and purpose (FNV-1a over both).
fn draw(seed: Seed<'_>, purpose: [i64; 3]) -> fastrand::Rng {
    let purpose = purpose.into_iter().flat_map(i64::to_le_bytes);
    let bytes = seed.market.bytes().chain(seed.code.bytes()).chain(purpose);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    fastrand::Rng::with_seed(hash)
}
