use super::*;

#[test]
fn save_with_refused_sidecar_commits_record_on_even_suffix() {
    let mut machine = Machine::<Protocol>::new(7, true, Start { even: 4, odd: Some(1) });
    machine.next();
    machine.answer(Answer::Lost, 0);
    machine.next();
    machine.answer(Answer::Refused, 0);
    assert_eq!(machine.next(), Some(Request::Head { suffix: 1, part: Part::Sidecar }));
    machine.answer(Answer::Absent, 0);
    assert_eq!(machine.next(), Some(Request::Put { suffix: 4, part: Part::Record, with_sidecar: false }));
    machine.answer(Answer::Done, 0);
    assert_eq!(machine.outcome(), Some(Outcome::Saved { suffix: 4, with_sidecar: false }));
    assert_eq!(machine.orphan(), Some(1));
}

#[test]
fn save_next_to_record_copied_meanwhile_withdraws_its_sidecar() {
    let mut machine = Machine::<Protocol>::new(7, true, Start { even: 0, odd: Some(1) });
    for answer in [Answer::Done, Answer::Exists, Answer::Owner(None)] {
        machine.next();
        machine.answer(answer, 0);
    }
    assert_eq!(machine.next(), Some(Request::Delete { suffix: 1 }));
    machine.answer(Answer::Done, 0);
    assert_eq!(machine.next(), Some(Request::Put { suffix: 3, part: Part::Sidecar, with_sidecar: true }));
}

#[test]
fn save_to_store_that_overwrites_reports_that() {
    let mut machine = Machine::<Protocol>::new(7, false, Start::default()).with_probe(true);
    for _ in 0..2 {
        machine.next();
        machine.answer(Answer::Done, 0);
    }
    assert_eq!(machine.outcome(), Some(Outcome::Overwritten { suffix: 0, with_sidecar: false }));
}
