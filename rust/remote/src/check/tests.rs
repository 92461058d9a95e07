use std::sync::Arc;

use super::*;
use crate::faulty::{Faults, Faulty, Refused};

fn report(store: &Arc<Faulty>) -> Report {
    check(&Client::of(store.clone()), Interrupt::NEVER).unwrap()
}

/// Return the report on a store with faults.
fn report_on(faults: Faults) -> Report {
    report(&Faulty::new(faults))
}

fn lacks(report: &Report) -> Vec<&str> {
    report.lacks.keys().copied().collect()
}

#[test]
fn check_of_correct_store_finds_one_winner_and_removes_its_objects() {
    let store = Faulty::new(Faults::default());
    let report = report(&store);
    assert_eq!((report.overwrites, report.races, report.winners), (false, RACES, 1));
    assert!(
        report.keeps_metadata && report.lists_at_once && report.lacks.is_empty() && report.left.is_empty()
    );
}

#[test]
fn check_of_store_that_overwrites_runs_no_race() {
    let report = report_on(Faults { overwrites: true, ..Faults::default() });
    assert_eq!((report.overwrites, report.races, report.keeps_metadata), (true, 0, true));
    assert!(report.left.is_empty());
}

#[test]
fn check_of_store_without_atomicity_finds_several_winners_in_the_first_race() {
    let report = report_on(Faults { races: true, ..Faults::default() });
    assert_eq!((report.overwrites, report.races, report.winners), (false, 1, SAVERS));
}

#[test]
fn check_of_store_that_drops_metadata_reports_that() {
    let report = report_on(Faults { drops_metadata: true, ..Faults::default() });
    assert_eq!((report.keeps_metadata, report.winners), (false, 1));
}

#[test]
fn check_names_each_request_that_a_role_lacks() {
    let refused = |refuses| Faults { refuses, ..Faults::default() };
    let none = Refused::default();
    for (refuses, request) in [
        (Refused { heads: true, ..none }, "HEAD"),
        (Refused { gets: true, ..none }, "GET"),
        (Refused { lists: true, ..none }, "LIST"),
        (Refused { deletes: true, ..none }, "DELETE"),
    ] {
        let report = report_on(refused(refuses));
        assert_eq!(lacks(&report), [request]);
        assert!(report.lacks[request].contains("permission"), "{report:?}");
        assert_eq!((report.overwrites, report.winners), (false, 1));
        // One object of the first PUTs, and one of each race.
        assert_eq!(report.left.len(), if refuses.deletes { 1 + RACES } else { 0 });
        assert!(report.left.iter().all(|url| url.starts_with("s3://bucket/root/.llem-check-")), "{report:?}");
    }
}

#[test]
fn check_through_losses_finds_no_second_winner() {
    let report = report_on(Faults { puts: 40, gets: 10, ..Faults::default() });
    assert_eq!((report.overwrites, report.winners), (false, 1));
    assert!(report.keeps_metadata && report.lacks.is_empty(), "{report:?}");
}

#[test]
fn check_of_store_without_answers_fails() {
    let store = Faulty::new(Faults { is_unreachable: true, ..Faults::default() });
    let error = check(&Client::of(store), Interrupt::NEVER).unwrap_err();
    assert!(matches!(&error, Error::Remote { .. }) && error.to_string().contains("endpoint"), "{error}");
}

#[test]
fn check_cancelled_removes_its_objects() {
    let store = Faulty::new(Faults { races: true, ..Faults::default() });
    let client = Client::of(store.clone());
    assert!(matches!(check(&client, Interrupt::new(&|_| true)), Err(Error::Interrupted) | Ok(_)));
    let left = crate::runtime::block_on(async move { client.list("").await }, Interrupt::NEVER).unwrap();
    assert!(left.is_empty(), "{left:?}");
}
