//! The sample market: quotes against the recorded rows.

use std::collections::BTreeSet;

use forebay_app_stocks::calendar::TradingCalendar;
use forebay_app_stocks::market::{Instrument, Kind, Moment, Provenance, SampleMarket};

use crate::shanghai;

fn instrument<'a>(market: &'a SampleMarket, exchange: &str, code: &str) -> &'a Instrument {
    let found = |instrument: &&Instrument| (instrument.market, instrument.code) == (exchange, code);
    market.instruments().iter().find(found).unwrap()
}

/// Price, change, percent, volume and time of a quote, as they are written.
fn shown(market: &SampleMarket, exchange: &str, code: &str, at: &str) -> [String; 5] {
    let moment = market.moment(shanghai(at)).unwrap();
    let quote = market.quote(instrument(market, exchange, code), moment).unwrap();
    [
        quote.price.to_string(),
        quote.change.to_string(),
        quote.change_percent,
        quote.volume.to_string(),
        quote.at.to_string(),
    ]
}

#[test]
fn a_recorded_quote_is_the_recorded_minute() {
    let market = SampleMarket::shipped().unwrap();
    let first = shown(&market, "SH", "600000", "2019-01-23T09:30:30");
    assert_eq!(first, ["10.29", "0.04", "0.39", "386400", "2019-01-23T01:30:00Z"]);
    let third = shown(&market, "SH", "600000", "2019-01-23T09:32:00");
    assert_eq!(third, ["10.31", "0.06", "0.59", "774600", "2019-01-23T01:32:00Z"]);
    let index = shown(&market, "SH", "000001", "2019-01-23T09:30:00");
    assert_eq!(index[..3], ["2577.19", "-2.51", "-0.10"]);
    let stock_of_the_same_code = shown(&market, "SZ", "000001", "2019-01-23T09:30:00");
    assert_eq!(stock_of_the_same_code[0], "10.37");
}

#[test]
fn a_price_a_thousandth_short_is_shown_in_whole_cents() {
    let market = SampleMarket::shipped().unwrap();
    assert_eq!(shown(&market, "SZ", "000004", "2019-01-23T09:39:00")[0], "16.22");
}

#[test]
fn the_previous_close_is_the_last_minute_of_the_session_before() {
    let market = SampleMarket::shipped().unwrap();
    let last = market.quote(instrument(&market, "SH", "600000"), Moment { session: 2, minute: 239 }).unwrap();
    let next = market.quote(instrument(&market, "SH", "600000"), Moment { session: 3, minute: 0 }).unwrap();
    assert_eq!(next.price - next.change, last.price);
}

#[test]
fn every_instrument_has_a_quote_at_every_moment() {
    let market = SampleMarket::shipped().unwrap();
    for moment in [Moment { session: 0, minute: 0 }, Moment { session: 7, minute: 239 }] {
        for instrument in market.instruments() {
            let quote = market.quote(instrument, moment).unwrap();
            assert!(quote.price.thousandths() > 0, "{instrument:?} {quote:?}");
        }
    }
    let beyond = Moment { session: 8, minute: 0 };
    assert!(market.instruments().iter().all(|instrument| market.quote(instrument, beyond).is_none()));
}

#[test]
fn out_of_hours_the_last_minute_is_shown() {
    let market = SampleMarket::shipped().unwrap();
    assert_eq!(market.moment(shanghai("2019-01-23T09:29:59")), None);
    assert_eq!(market.moment(shanghai("2019-01-23T20:00:00")), Some(Moment { session: 0, minute: 239 }));
    assert_eq!(market.moment(shanghai("2019-01-24T11:45:00")), Some(Moment { session: 1, minute: 120 }));
    assert_eq!(market.moment(shanghai("2019-02-20T10:00:00")), Some(Moment { session: 7, minute: 239 }));
}

#[test]
fn the_shipped_data_is_what_its_page_says() {
    let market = SampleMarket::shipped().unwrap();
    let count = |kind| market.instruments().iter().filter(|instrument| instrument.kind == kind).count();
    assert_eq!([Kind::AShare, Kind::ChiNext, Kind::Index].map(count), [2_004, 276, 458]);
    assert_eq!(market.bars().count(), 7 * 8 * 240);
    assert_eq!(market.daily().len(), 8 * 120);
    let recorded: Vec<&str> = market
        .instruments()
        .iter()
        .filter(|instrument| instrument.provenance == Provenance::Recorded)
        .map(|instrument| instrument.code)
        .collect();
    assert_eq!(recorded, ["000001", "600000", "600004", "000001", "000002", "000004", "000005"]);
    let calendar = TradingCalendar::shipped().unwrap();
    for session in market.sessions() {
        assert_eq!(calendar.session(session.opens()), Ok(Some(*session)));
    }
}

#[test]
fn a_code_names_one_share_and_one_index() {
    let market = SampleMarket::shipped().unwrap();
    let mut seen = BTreeSet::new();
    for instrument in market.instruments() {
        assert!(seen.insert((instrument.kind == Kind::Index, instrument.code)), "{instrument:?}");
    }
}

#[test]
fn names_have_one_width_and_no_padding() {
    let market = SampleMarket::shipped().unwrap();
    assert_eq!(instrument(&market, "SZ", "000858").name, "五粮液");
    assert_eq!(instrument(&market, "SZ", "000001").name, "深发展A");
    for instrument in market.instruments() {
        assert!(
            !instrument.name.chars().any(|letter| ('！'..='～').contains(&letter) || letter == '　'),
            "{instrument:?}"
        );
    }
}
