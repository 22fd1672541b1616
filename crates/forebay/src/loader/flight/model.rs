//! Flights under the model checker, on the shipped code: every schedule of two threads.

#![allow(clippy::print_stdout, reason = "each scenario says how many schedules it took")]

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread::spawn;

use super::{Flights, Lead, Seat};
use crate::error::Error;
use crate::rt::model::every_schedule;
use crate::value::Position;

const KEY: &[u8] = b"x";

/// Runs `end` of a flight in the air beside `other`, under every schedule; then no flight is left.
fn check(
    name: &str,
    end: impl Fn(&Flights, Lead) + Send + Sync + Copy + 'static,
    other: impl Fn(&Arc<Flights>) + Send + Sync + Copy + 'static,
) {
    let schedules = every_schedule(move || {
        let flights = Arc::new(Flights::new("n".into(), false));
        let Seat::Lead(lead) = flights.board(KEY, Position::START) else { panic!("a flight is there") };
        let thread = {
            let flights = Arc::clone(&flights);
            spawn(move || end(&flights, lead))
        };
        other(&flights);
        thread.join().unwrap();
        assert_eq!(flights.len(), 0, "a flight was left on the board");
    });
    println!("{name}: {schedules} schedules");
}

#[test]
fn whoever_boards_a_flight_that_is_lost_is_told() {
    check(
        "a flight is lost beside a reader who boards",
        |_, lead| drop(lead),
        |flights| match flights.board(KEY, Position::START) {
            Seat::Lead(lead) => drop(lead),
            Seat::Follow(flight) => {
                let landed = block_on(flight.wait());
                assert!(matches!(landed, Err(Error::LoadLost { .. })), "{landed:?}");
            }
        },
    );
}

#[test]
fn a_closed_flight_takes_no_other_off_the_board() {
    check(
        "a flight ends beside an invalidation and a reader after it",
        |_, lead| drop(lead),
        |flights| {
            flights.close(KEY);
            let Seat::Lead(lead) = flights.board(KEY, Position::START) else {
                panic!("aboard a flight that began before the invalidation")
            };
            assert!(lead.flight().admits(), "closed by an invalidation before it");
            assert_eq!(flights.len(), 1, "taken off the board by another flight's end");
            drop(lead);
        },
    );
}

#[test]
fn a_flight_that_everything_closes_admits_nothing() {
    check(
        "all flights are closed beside one that begins",
        |flights, lead| {
            flights.close_all();
            assert!(!lead.flight().admits(), "what it brings would be stored");
            drop(lead);
        },
        |flights| {
            if let Seat::Lead(lead) = flights.board(KEY, Position::START) {
                drop(lead);
            }
        },
    );
}

#[test]
fn a_record_closes_what_began_before_it_and_leaves_what_began_after() {
    check(
        "a flight notes a position beside a record of its key",
        |_, lead| {
            lead.flight().note(Position::new(2));
            drop(lead);
        },
        |flights| {
            flights.close_before(KEY, Position::new(1));
            match flights.board(KEY, Position::new(1)) {
                Seat::Follow(flight) => {
                    assert!(
                        flight.noted() >= Position::new(1),
                        "aboard a flight that began before the record"
                    );
                }
                Seat::Lead(lead) => drop(lead),
            }
        },
    );
}
