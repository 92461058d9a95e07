//! A search of all states that two or three savers can reach.

mod mutants;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::*;

/// The number of the objects that were copied into the store.
const COPIED: SaveId = 99;
/// Names above this suffix are not searched.
const LAST_SUFFIX: u64 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Object {
    owner: SaveId,
    names_sidecar: bool,
}

type Objects = BTreeMap<(u64, Part), Object>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Saver<R: Rules> {
    machine: Machine<R>,
    is_alive: bool,
    /// The number of faults that may still befall it.
    faults: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State<R: Rules> {
    objects: Objects,
    savers: Vec<Saver<R>>,
    /// Requests on their way, whose senders do not wait for them any more.
    late: Vec<(SaveId, Request)>,
}

/// The faults of the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Correct,
    Overwrites,
}

struct Search {
    store: Store,
    most_states: usize,
}

/// The number of states, or the first violation with the state that has it.
type Found = Result<usize, String>;

impl Search {
    fn run<R: Rules>(&self, first: State<R>) -> Found {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut seen = HashSet::from([hasher.hash_one(&first)]);
        let mut open = vec![first];
        while let Some(state) = open.pop() {
            check(&state).map_err(|violation| format!("{violation}: {state:#?}"))?;
            for next in self.successors(&state) {
                if seen.len() < self.most_states && seen.insert(hasher.hash_one(&next)) {
                    open.push(next);
                }
            }
        }
        Ok(seen.len())
    }

    fn successors<R: Rules>(&self, state: &State<R>) -> Vec<State<R>> {
        let mut next = Vec::new();
        for index in 0..state.savers.len() {
            self.act(state, index, &mut next);
        }
        for index in 0..state.late.len() {
            let mut state = state.clone();
            let (id, request) = state.late.remove(index);
            self.take_effect(&mut state.objects, id, request);
            next.push(state);
        }
        next
    }

    fn act<R: Rules>(&self, before: &State<R>, index: usize, next: &mut Vec<State<R>>) {
        let mut before = before.clone();
        let saver = &mut before.savers[index];
        let id = saver.machine.id();
        if !saver.is_alive {
            return;
        }
        let Some(request) = saver.machine.next() else { return };
        if matches!(request, Request::Put { suffix, .. } if suffix > LAST_SUFFIX) {
            return;
        }
        let mut answered = |mut state: State<R>, answer: Answer| {
            for random in 0..2 {
                let mut state = state.clone();
                state.savers[index].machine.answer(answer, random);
                next.push(state);
            }
            if state.savers[index].faults > 0 {
                state.savers[index].machine.abandon();
                next.push(state);
            }
        };
        let mut with_effect = before.clone();
        let answer = self.take_effect(&mut with_effect.objects, id, request);
        answered(with_effect.clone(), answer);
        if before.savers[index].faults == 0 {
            return;
        }
        before.savers[index].faults -= 1;
        with_effect.savers[index].faults -= 1;
        let mut late = before.clone();
        if matches!(request, Request::Put { .. } | Request::Delete { .. }) {
            late.late.push((id, request));
            late.late.sort_unstable();
            answered(late.clone(), Answer::Lost);
            answered(with_effect.clone(), Answer::Lost);
            answered(before.clone(), Answer::Conflict);
        }
        answered(before.clone(), Answer::Lost);
        answered(before.clone(), Answer::Refused);
        for mut state in [before, with_effect, late] {
            state.savers[index].is_alive = false;
            next.push(state);
        }
    }

    fn take_effect(&self, objects: &mut Objects, id: SaveId, request: Request) -> Answer {
        match request {
            Request::List { wished } => {
                let odd = objects.keys().map(|(suffix, _)| *suffix).filter(|suffix| suffix % 2 == 1);
                let has = |part| wished.is_some_and(|suffix| objects.contains_key(&(suffix, part)));
                let wished_is_bare = has(Part::Record) && !has(Part::Sidecar);
                Answer::Listed { largest: odd.max(), wished_is_bare }
            }
            Request::Put { suffix, part, with_sidecar } => {
                if self.store == Store::Correct && objects.contains_key(&(suffix, part)) {
                    return Answer::Exists;
                }
                objects.insert((suffix, part), Object { owner: id, names_sidecar: with_sidecar });
                Answer::Done
            }
            Request::Head { suffix, part } => match objects.get(&(suffix, part)) {
                Some(Object { owner: COPIED, .. }) => Answer::Owner(None),
                Some(object) => Answer::Owner(Some(object.owner)),
                None => Answer::Absent,
            },
            Request::Delete { suffix } => {
                objects.remove(&(suffix, Part::Sidecar));
                Answer::Done
            }
        }
    }
}

/// Check the invariants.
fn check<R: Rules>(state: &State<R>) -> Result<(), &'static str> {
    for (&(suffix, part), record) in &state.objects {
        if part != Part::Record {
            continue;
        }
        match state.objects.get(&(suffix, Part::Sidecar)) {
            Some(sidecar) if sidecar.owner != record.owner => {
                return Err("a record is next to another save's sidecar");
            }
            Some(_) if !record.names_sidecar => {
                return Err("a record is next to a sidecar that it does not name");
            }
            None if record.names_sidecar => {
                return Err("a record is visible without the sidecar that it names");
            }
            _ => {}
        }
    }
    for saver in &state.savers {
        let id = saver.machine.id();
        let of_saver = |object: &Object| object.owner == id;
        let records: Vec<u64> = state
            .objects
            .iter()
            .filter(|((_, part), object)| *part == Part::Record && of_saver(object))
            .map(|((suffix, _), _)| *suffix)
            .collect();
        if records.len() > 1 {
            return Err("a save made two records");
        }
        match saver.machine.outcome() {
            Some(Outcome::Saved { suffix, with_sidecar }) => {
                if records != [suffix] {
                    return Err("an acknowledged result is absent");
                }
                let sidecar = state.objects.get(&(suffix, Part::Sidecar));
                if with_sidecar && !sidecar.is_some_and(of_saver) {
                    return Err("an acknowledged result has lost its sidecar");
                }
            }
            Some(Outcome::Failed) if !records.is_empty() => return Err("a failed save left a record"),
            Some(Outcome::Unknown { suffix }) if records.iter().any(|record| *record != suffix) => {
                return Err("an unknown save made a record under another name");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Savers with and without sidecars, to each of which a number of faults may happen.
fn savers<R: Rules>(sidecars: &[bool], faults: u8, objects: Objects) -> State<R> {
    let starts: Vec<_> = sidecars.iter().map(|with_sidecar| (*with_sidecar, None)).collect();
    wishing(&starts, faults, objects)
}

/// Savers with and without sidecars, and the suffixes that they ask for.
fn wishing<R: Rules>(savers: &[(bool, Option<u64>)], faults: u8, objects: Objects) -> State<R> {
    let saver = |(index, (with_sidecar, wished)): (usize, &(bool, Option<u64>))| {
        let start = Start { wished: *wished, ..Start::default() };
        Saver { machine: Machine::new(index as SaveId, *with_sidecar, start), is_alive: true, faults }
    };
    State { objects, savers: savers.iter().enumerate().map(saver).collect(), late: Vec::new() }
}

/// A tree that was copied: the results of another machine, with suffixes in turn.
fn copied() -> Objects {
    let record = |names_sidecar| Object { owner: COPIED, names_sidecar };
    [
        ((0, Part::Record), record(true)),
        ((0, Part::Sidecar), record(true)),
        ((1, Part::Record), record(false)),
    ]
    .into()
}

fn search<R: Rules>(sidecars: &[bool], faults: u8, objects: Objects) -> Found {
    Search { store: Store::Correct, most_states: usize::MAX }.run(savers::<R>(sidecars, faults, objects))
}

#[test]
fn search_two_savers_finds_no_violation() {
    for sidecars in [[false, false], [false, true], [true, true]] {
        let states = search::<Protocol>(&sidecars, 2, Objects::new()).unwrap();
        println!("{sidecars:?}: {states} states");
    }
}

#[test]
fn search_two_savers_next_to_copied_tree_finds_no_violation() {
    for sidecars in [[false, true], [true, true]] {
        let states = search::<Protocol>(&sidecars, 1, copied()).unwrap();
        println!("{sidecars:?}: {states} states");
    }
}

#[test]
fn search_savers_that_ask_for_suffixes_finds_no_violation() {
    let search = Search { store: Store::Correct, most_states: usize::MAX };
    for (savers, objects) in [
        ([(true, Some(1)), (true, Some(1))], copied()),
        ([(true, Some(3)), (true, None)], copied()),
        ([(true, Some(3)), (false, Some(2))], copied()),
        ([(true, Some(1)), (true, Some(1))], Objects::new()),
        ([(false, Some(2)), (false, None)], Objects::new()),
    ] {
        let states = search.run(wishing::<Protocol>(&savers, 1, objects)).unwrap();
        println!("{savers:?}: {states} states");
    }
}

#[test]
fn search_three_savers_finds_no_violation() {
    let is_long = std::env::var_os("LLEM_SEARCH").is_some_and(|value| value == "long");
    let most_states = if is_long { usize::MAX } else { 200_000 };
    for sidecars in [[false, false, false], [false, true, true], [true, true, true]] {
        let first = savers::<Protocol>(&sidecars, 1, Objects::new());
        let states = Search { store: Store::Correct, most_states }.run(first).unwrap();
        println!("{sidecars:?}: {states} states");
    }
}

#[test]
fn search_store_that_overwrites_finds_lost_result() {
    let search = Search { store: Store::Overwrites, most_states: usize::MAX };
    let violation = search.run(savers::<Protocol>(&[false, false], 0, Objects::new())).unwrap_err();
    assert!(violation.starts_with("an acknowledged result is absent"), "{violation}");
}

#[test]
fn save_alone_sends_one_put_or_two_and_a_list() {
    for (with_sidecar, start, expected) in [
        (false, Start::default(), vec!["Put"]),
        (true, Start::default(), vec!["List", "Put", "Put"]),
        (true, Start { odd: Some(5), ..Start::default() }, vec!["Put", "Put"]),
        (false, Start { wished: Some(6), ..Start::default() }, vec!["Put"]),
        (true, Start { wished: Some(7), ..Start::default() }, vec!["List", "Put", "Put"]),
        (true, Start { odd: Some(5), wished: Some(3), ..Start::default() }, vec!["Put", "Put"]),
    ] {
        let search = Search { store: Store::Correct, most_states: 0 };
        let (mut machine, mut objects) = (Machine::<Protocol>::new(7, with_sidecar, start), Objects::new());
        let mut sent = Vec::new();
        while let Some(request) = machine.next() {
            sent.push(format!("{request:?}"));
            machine.answer(search.take_effect(&mut objects, 7, request), 0);
        }
        assert_eq!(sent.len(), expected.len());
        assert!(sent.iter().zip(expected).all(|(sent, expected)| sent.starts_with(expected)), "{sent:?}");
        let first = if with_sidecar { start.odd.unwrap_or(1) } else { 0 };
        let suffix = start.wished.unwrap_or(first);
        assert_eq!(machine.outcome(), Some(Outcome::Saved { suffix, with_sidecar }));
    }
}
