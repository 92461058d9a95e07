use super::*;

#[test]
fn save_with_refused_sidecar_commits_record_on_even_suffix() {
    let mut machine = Machine::<Protocol>::new(7, true, Start { even: 4, odd: Some(1), wished: None });
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
    let mut machine = Machine::<Protocol>::new(7, true, Start { odd: Some(1), ..Start::default() });
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

#[test]
fn save_whose_wished_name_is_taken_goes_on_from_the_first_suffix() {
    let start = Start { even: 4, wished: Some(2), ..Start::default() };
    let mut machine = Machine::<Protocol>::new(7, false, start);
    let put = |suffix| Some(Request::Put { suffix, part: Part::Record, with_sidecar: false });
    assert_eq!(machine.next(), put(2));
    machine.answer(Answer::Exists, 0);
    assert_eq!(machine.next(), Some(Request::Head { suffix: 2, part: Part::Record }));
    machine.answer(Answer::Owner(Some(8)), 0);
    assert_eq!(machine.next(), put(4));
}

#[test]
fn save_whose_wished_name_has_a_bare_record_takes_the_name_after_the_listed_ones() {
    let start = Start { wished: Some(3), ..Start::default() };
    let mut machine = Machine::<Protocol>::new(7, true, start);
    assert_eq!(machine.next(), Some(Request::List { wished: Some(3) }));
    machine.answer(Answer::Listed { largest: Some(5), wished_is_bare: true }, 0);
    assert_eq!(machine.next(), Some(Request::Put { suffix: 7, part: Part::Sidecar, with_sidecar: true }));
}
