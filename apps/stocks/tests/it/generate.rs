//! The generator: the same in every run, within the limit band.

use forebay_app_stocks::generate::{Character, Generated, Seed, at};
use forebay_app_stocks::limits::Limits;
use forebay_app_stocks::money::Milli;

fn seed(code: &'static str, character: Character) -> Seed<'static> {
    Seed { market: "SH", code, base: None, character, band_percent: 10 }
}

#[test]
fn every_run_makes_the_same() {
    let made = at(seed("600519", Character::Share), 3, 100);
    let golden =
        Generated { price: Milli::new(10_430), previous_close: Milli::new(10_400), volume: 23_775_700 };
    assert_eq!(made, golden);
}

#[test]
fn instruments_sessions_and_minutes_differ() {
    let made = |market, code, session, minute| {
        at(Seed { base: Some(Milli::new(100_000)), market, ..seed(code, Character::Share) }, session, minute)
    };
    let one = made("SH", "600519", 3, 100);
    for other in [
        made("SZ", "600519", 3, 100),
        made("SH", "600520", 3, 100),
        made("SH", "600519", 4, 100),
        made("SH", "600519", 3, 101),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_share_stays_within_its_band() {
    for (character, band_percent) in
        [(Character::Share, 10), (Character::SpecialTreatment, 5), (Character::Share, 1)]
    {
        for number in 0..300 {
            let code = format!("{:06}", 600_000 + number);
            let seed = Seed { market: "SH", code: &code, base: None, character, band_percent };
            for session in 0..8 {
                for minute in (0..240).step_by(7) {
                    let made = at(seed, session, minute);
                    let limits = Limits::within(band_percent, made.previous_close);
                    assert!(limits.hold(made.price), "{code} {session} {minute}: {made:?}");
                    assert_eq!(made.price.thousandths() % 10, 0, "whole cents");
                }
            }
        }
    }
}

#[test]
fn a_close_is_the_previous_close_of_the_next_session() {
    let seed = seed("600100", Character::Share);
    for session in 0..8 {
        assert_eq!(at(seed, session, 239).price, at(seed, session + 1, 0).previous_close);
    }
    assert_eq!(at(seed, 0, 239), at(seed, 0, u16::MAX));
}

#[test]
fn prices_move_and_volume_grows() {
    let seed = Seed { base: Some(Milli::new(50_000)), ..seed("600100", Character::Share) };
    let day: Vec<Generated> = (0..240).map(|minute| at(seed, 2, minute)).collect();
    assert!(day.windows(2).all(|pair| pair[0].volume <= pair[1].volume));
    assert!(day.iter().all(|made| made.volume % 100 == 0));
    let moves = day.windows(2).filter(|pair| pair[0].price != pair[1].price).count();
    assert!(moves > 60, "{moves} moves in a day");
}
