//! The protocol of one save on an object store, without I/O.
//!
//! A [`Machine`] says which request comes next, and receives the answers. Every PUT creates, so that nothing is ever
//! overwritten, and carries the number of the save as metadata. The rules, and why each is there:
//!
//! 1. A record without a sidecar claims and commits by one PUT, on *even* suffixes; the bare name is 0. A sidecar
//!    claims, then its record commits, on *odd* suffixes. If both shared names, a record could be committed next to
//!    the sidecar of another save, and would load with it.
//! 2. "Exists" may be the answer to this save's own PUT, which was sent again (icechunk #2099, `object_store` #464):
//!    a HEAD reads the number of the object.
//! 3. A PUT without an answer is sent again under *the same key*. It may land late, so that another name could make a
//!    second copy. At the deadline, the outcome is unknown.
//! 4. The next name is a random step away, in a range that doubles, so that savers of one name fall out of step.
//! 5. Trees that were copied do not follow the parity rule: a LIST precedes the first save with a sidecar.
//! 6. A copy asks for the suffix of its source, where its parity fits. Where that name is taken, the save goes on as if
//!    it had not asked.
//!
//! The tests search all states of two and three savers, with crashes, lost answers and late requests, and refute a
//! protocol that lacks any of these rules.

mod message;
mod suffix;

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

pub use message::{Answer, Outcome, Part, Request, SaveId, Start};
pub use suffix::{suffix_of, suffixed};

/// The range of the first step to another name.
const FIRST_RANGE: u64 = 4;
/// The range in which steps stop growing.
const LAST_RANGE: u64 = 1 << 20;

/// The rules of the protocol. Tests weaken one at a time.
pub trait Rules: Debug + Clone + Eq + Hash {
    /// Read the number of an object that exists already.
    const ASK_OWNER: bool = true;
    /// Send a PUT without an answer again under the same key.
    const SAME_KEY: bool = true;
    /// Keep the names of results with sidecars apart from those without.
    const PARITY: bool = true;
    /// List the names before the first claim by a sidecar.
    const LIST_FIRST: bool = true;
    /// Claim by the sidecar, and commit by the record after it.
    const SIDECAR_FIRST: bool = true;
    /// Report an outcome that is not known as such.
    const UNKNOWN: bool = true;
    /// Send a PUT again under the same key where the object is absent: it may land late.
    const ABSENT_IS_NOT_FINAL: bool = true;
    /// Send a DELETE only once: a second one may land on the object of another save.
    const DELETE_ONCE: bool = true;
}

/// The protocol with all its rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Protocol;

impl Rules for Protocol {}

/// The state of one save.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine<R: Rules = Protocol> {
    id: SaveId,
    rules: PhantomData<R>,
    stage: Stage,
    /// A sidecar is to be saved, and has not failed.
    with_sidecar: bool,
    even: u64,
    /// The suffix after one that was asked for.
    first: u64,
    wished: Option<u64>,
    suffix: u64,
    range: u64,
    /// A PUT of the present key may have had its effect, or may have it later.
    in_doubt: bool,
    /// A PUT of the present key awaits its answer.
    in_flight: bool,
    /// The store refused a PUT of the present key.
    refused: bool,
    probe: bool,
    /// A sidecar of this save that may remain without a record.
    orphan: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    List,
    Put(Part),
    Owner(Part),
    /// Create the record again, to see whether the store refuses that.
    Probe,
    /// Remove the sidecar of a name that cannot be used.
    Withdraw(Then),
    Ended(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Then {
    NextName,
    Fail,
}

impl<R: Rules> Machine<R> {
    /// Begin to save a result.
    #[must_use]
    pub fn new(id: SaveId, with_sidecar: bool, start: Start) -> Self {
        let (stage, first) = match (with_sidecar, start.odd) {
            (false, _) => (Stage::Put(Part::Record), start.even),
            (true, None) if R::LIST_FIRST => (Stage::List, 1),
            (true, odd) => (Stage::Put(first_part::<R>()), odd.unwrap_or(1)),
        };
        let first = if R::PARITY { first } else { start.even };
        Self {
            id,
            rules: PhantomData,
            stage,
            with_sidecar,
            even: start.even,
            first,
            wished: start.wished,
            suffix: start.wished.unwrap_or(first),
            range: FIRST_RANGE,
            in_doubt: false,
            in_flight: false,
            refused: false,
            probe: false,
            orphan: None,
        }
    }

    /// Test with the first record whether the store refuses to create what exists.
    #[must_use]
    pub fn with_probe(self, probe: bool) -> Self {
        Self { probe, ..self }
    }

    /// Return the number of the save.
    #[must_use]
    pub const fn id(&self) -> SaveId {
        self.id
    }

    /// Return the suffix of a sidecar that this save may leave without a record.
    #[must_use]
    pub const fn orphan(&self) -> Option<u64> {
        self.orphan
    }

    /// Return `true` where a sidecar is to be saved, and has not failed.
    #[must_use]
    pub const fn with_sidecar(&self) -> bool {
        self.with_sidecar
    }

    /// Return `true` while the next request tests the store's conditions.
    #[must_use]
    pub const fn is_probing(&self) -> bool {
        matches!(self.stage, Stage::Probe)
    }

    /// Return the end of the save, once it has ended.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        if let Stage::Ended(outcome) = self.stage { Some(outcome) } else { None }
    }

    /// Return the next request; `None` once the save has ended.
    pub fn next(&mut self) -> Option<Request> {
        let (suffix, with_sidecar) = (self.suffix, self.with_sidecar);
        Some(match self.stage {
            Stage::List => Request::List { wished: self.wished },
            Stage::Put(part) => {
                self.in_flight = true;
                Request::Put { suffix, part, with_sidecar }
            }
            Stage::Probe => Request::Put { suffix, part: Part::Record, with_sidecar },
            Stage::Owner(part) => Request::Head { suffix, part },
            Stage::Withdraw(_) => Request::Delete { suffix },
            Stage::Ended(_) => return None,
        })
    }

    /// Receive the answer to the request; `random` chooses the next name, where this one is taken.
    pub fn answer(&mut self, answer: Answer, random: u64) {
        self.in_flight = false;
        match self.stage {
            Stage::List => self.listed(answer),
            Stage::Put(part) => self.put(part, answer, random),
            Stage::Owner(part) => self.owner(part, answer, random),
            Stage::Probe => self.probed(answer),
            Stage::Withdraw(then) => self.withdrawn(then, answer, random),
            Stage::Ended(_) => {}
        }
    }

    /// End the save now: its deadline has passed, or its caller has cancelled.
    pub fn abandon(&mut self) -> Outcome {
        let in_doubt = self.in_doubt || self.in_flight;
        let suffix = self.suffix;
        let outcome = match self.stage {
            Stage::Ended(outcome) => outcome,
            Stage::Probe => Outcome::Saved { suffix, with_sidecar: self.with_sidecar },
            Stage::Put(Part::Record) if in_doubt && R::UNKNOWN => Outcome::Unknown { suffix },
            // A proxy between may have sent the PUT twice.
            Stage::Owner(Part::Record) if R::UNKNOWN => Outcome::Unknown { suffix },
            Stage::Put(Part::Record) | Stage::Owner(Part::Record) | Stage::Withdraw(_) => {
                if self.with_sidecar {
                    self.orphan = Some(suffix);
                }
                Outcome::Failed
            }
            Stage::Put(Part::Sidecar) | Stage::Owner(Part::Sidecar) => {
                if in_doubt {
                    self.orphan = Some(suffix);
                }
                Outcome::Failed
            }
            Stage::List => Outcome::Failed,
        };
        self.stage = Stage::Ended(outcome);
        outcome
    }

    /// Go on without the sidecar, which cannot be saved.
    pub fn give_up_sidecar(&mut self) {
        if self.in_doubt {
            self.orphan = Some(self.suffix);
        }
        self.with_sidecar = false;
        self.wished = None;
        self.range = FIRST_RANGE;
        self.go_to(if R::PARITY { self.even } else { self.suffix + 1 });
    }

    fn listed(&mut self, answer: Answer) {
        match answer {
            Answer::Listed { largest, wished_is_bare } => {
                if R::PARITY {
                    self.first = largest.map_or(1, |largest| largest.saturating_add(2));
                }
                if wished_is_bare {
                    self.wished = None;
                }
                self.suffix = self.wished.unwrap_or(self.first);
                self.stage = Stage::Put(first_part::<R>());
            }
            Answer::Refused => self.give_up_sidecar(),
            _ => {}
        }
    }

    fn put(&mut self, part: Part, answer: Answer, random: u64) {
        match answer {
            Answer::Done => self.created(part),
            Answer::Exists if R::ASK_OWNER => self.stage = Stage::Owner(part),
            Answer::Lost if R::SAME_KEY => self.in_doubt = true,
            Answer::Exists | Answer::Lost => self.taken(part, random),
            Answer::Refused => {
                self.refused = true;
                if self.in_doubt { self.stage = Stage::Owner(part) } else { self.refuse(part) }
            }
            _ => {}
        }
    }

    fn owner(&mut self, part: Part, answer: Answer, random: u64) {
        match answer {
            Answer::Owner(Some(id)) if id == self.id => self.created(part),
            Answer::Owner(_) if self.refused => {
                // The key is another save's, so that no PUT of this one can land.
                self.in_doubt = false;
                self.refuse(part);
            }
            Answer::Owner(_) => self.taken(part, random),
            Answer::Absent if !R::ABSENT_IS_NOT_FINAL => self.taken(part, random),
            Answer::Absent if self.refused => self.refuse(part),
            Answer::Absent => self.stage = Stage::Put(part),
            Answer::Refused => {
                self.in_doubt = true;
                self.refuse(part);
            }
            _ => {}
        }
    }

    fn probed(&mut self, answer: Answer) {
        let (suffix, with_sidecar) = (self.suffix, self.with_sidecar);
        match answer {
            Answer::Lost | Answer::NotSent | Answer::Conflict => {}
            Answer::Done => self.stage = Stage::Ended(Outcome::Overwritten { suffix, with_sidecar }),
            _ => self.stage = Stage::Ended(Outcome::Saved { suffix, with_sidecar }),
        }
    }

    fn withdrawn(&mut self, then: Then, answer: Answer, random: u64) {
        match answer {
            Answer::NotSent => return,
            Answer::Lost if !R::DELETE_ONCE => return,
            Answer::Done | Answer::Absent => {}
            _ => self.orphan = Some(self.suffix),
        }
        match then {
            Then::NextName => self.step(random),
            Then::Fail => self.stage = Stage::Ended(Outcome::Failed),
        }
    }

    /// The object is in place, and this save's own.
    fn created(&mut self, part: Part) {
        self.in_doubt = false;
        self.refused = false;
        let (suffix, with_sidecar) = (self.suffix, self.with_sidecar);
        self.stage = match part {
            Part::Sidecar if R::SIDECAR_FIRST => Stage::Put(Part::Record),
            Part::Record if !R::SIDECAR_FIRST && with_sidecar => Stage::Put(Part::Sidecar),
            _ if self.probe => Stage::Probe,
            _ => Stage::Ended(Outcome::Saved { suffix, with_sidecar }),
        };
    }

    /// The key is another save's.
    fn taken(&mut self, part: Part, random: u64) {
        if part == Part::Record && self.with_sidecar && R::SIDECAR_FIRST {
            // A record that was copied here meanwhile would load with the sidecar.
            self.stage = Stage::Withdraw(Then::NextName);
        } else {
            self.step(random);
        }
    }

    /// The store does not take the object.
    fn refuse(&mut self, part: Part) {
        self.stage = match part {
            Part::Sidecar => return self.give_up_sidecar(),
            Part::Record if self.in_doubt => Stage::Ended(Outcome::Unknown { suffix: self.suffix }),
            Part::Record if self.with_sidecar => Stage::Withdraw(Then::Fail),
            Part::Record => Stage::Ended(Outcome::Failed),
        };
    }

    fn step(&mut self, random: u64) {
        if self.wished.take().is_some() {
            return self.go_to(self.first);
        }
        let step = 1 + random % self.range;
        self.range = (self.range * 2).min(LAST_RANGE);
        self.go_to(self.suffix.saturating_add(if R::PARITY { 2 * step } else { step }));
    }

    fn go_to(&mut self, suffix: u64) {
        self.suffix = suffix;
        self.in_doubt = false;
        self.refused = false;
        self.stage = Stage::Put(if self.with_sidecar { first_part::<R>() } else { Part::Record });
    }
}

fn first_part<R: Rules>() -> Part {
    if R::SIDECAR_FIRST { Part::Sidecar } else { Part::Record }
}
