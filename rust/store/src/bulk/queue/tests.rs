//! Who is woken, and for what.

use super::*;
use crate::durable::Durability;
use crate::sidecar::Source;

fn queue(idle: usize) -> Queue {
    let (results, bytes) = (100, 1 << 20);
    let options = Options { durability: Durability::Durable, engine: None, results, bytes, many: false };
    Queue { idle, threads: 3, ..Queue::new(options) }
}

fn job(sidecar: Option<PathBuf>) -> Job {
    let sidecar = sidecar.map(|path| (Source::File(path), Vec::new()));
    Job { name: "name".into(), record: Vec::new(), sidecar, weight: 0 }
}

fn ticket_of(next: &Next) -> Option<u64> {
    if let Next::Step(Step::Stage { ticket, .. }) = next { Some(*ticket) } else { None }
}

#[test]
fn a_result_that_comes_alone_is_saved_by_whoever_waits_for_it() {
    let mut queue = queue(2);
    queue.listeners = 1;
    queue.push(0, job(None));
    assert!(queue.is_listeners());
    assert!(matches!(queue.next_alone(), Some(Step::Stage { ticket: 0, .. })));
    // Another comes, and whoever waits has the others to tell.
    queue.push(1, job(None));
    assert!(!queue.is_listeners() && queue.next_alone().is_none());
    queue.end_staging(true);
    assert!(queue.wants_waking());
}

#[test]
fn a_result_that_may_take_long_is_left_to_another_thread() {
    let mut queue = queue(2);
    queue.listeners = 1;
    queue.push(0, job(Some("trace.parquet".into())));
    assert!(!queue.is_listeners() && queue.next_alone().is_none());
    assert!(queue.wants_waking());
}

#[test]
fn an_idle_thread_is_woken_for_a_backlog_and_not_for_each_result() {
    let mut queue = queue(2);
    let mut woken = Vec::new();
    for ticket in 0..6 {
        queue.push(ticket, job(None));
        woken.push(queue.wants_waking());
        if ticket == 0 {
            // It is taken at once.
            let next = queue.next();
            assert!(!queue.wants_stand_in(&next) && ticket_of(&next) == Some(0));
        }
    }
    assert_eq!(woken, [true, false, false, false, true, true]);
    queue.end_staging(true);
    assert!(queue.wants_waking());
    queue.idle = 0;
    assert!(!queue.wants_waking());
}

#[test]
fn a_thread_that_may_be_long_has_a_stand_in() {
    let mut queue = queue(1);
    queue.push(0, job(None));
    let quick = queue.next();
    assert!(!queue.wants_stand_in(&quick) && ticket_of(&quick) == Some(0));
    queue.end_staging(true);
    queue.push(1, job(Some("trace.parquet".into())));
    let slow = queue.next();
    assert!(queue.wants_stand_in(&slow) && ticket_of(&slow) == Some(1));
    queue.push(2, job(None));
    assert!(queue.wants_waking());
    queue.idle = 0;
    assert!(!queue.wants_stand_in(&slow));
}
