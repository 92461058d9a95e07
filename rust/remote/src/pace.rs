//! The pace of requests: all wait after the store asked to slow down.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The first delay, and the longest.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The pace of all requests to one bucket.
#[derive(Debug, Default)]
pub struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// No request starts before.
    resume: Option<Instant>,
    /// Answers to slow down, with no other answer since.
    asked: u32,
    /// It answered a request.
    has_answered: bool,
    /// The time of the store, and when it came.
    clock: Option<(i64, Instant)>,
}

impl Pace {
    /// Return the time of the store, in microseconds since 1970, as far as an answer had it.
    pub fn now(&self) -> Option<i64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, seen) = state.clock?;
        Some(then + i64::try_from(seen.elapsed().as_micros()).ok()?)
    }

    /// Note the time of the store.
    pub fn note_clock(&self, micros: Option<i64>) {
        if let Some(micros) = micros {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clock = Some((micros, Instant::now()));
        }
    }

    /// Wait while the store is too busy.
    pub async fn wait(&self) {
        let resume = self.0.lock().unwrap_or_else(PoisonError::into_inner).resume;
        if let Some(resume) = resume.filter(|resume| *resume > Instant::now()) {
            sleep_until(resume).await;
        }
    }

    /// Note that the store asked to slow down.
    pub fn slow_down(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.has_answered = true;
        // The requests that were in flight together count once.
        if state.resume.is_none_or(|resume| resume <= now) {
            state.asked = (state.asked + 1).min(16);
            state.resume = Some(now + delay(state.asked));
        }
    }

    /// Return `true` once the store has answered a request.
    pub fn has_answered(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).has_answered
    }

    /// Note an answer.
    pub fn succeed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_answered = true;
        if state.resume.is_none_or(|resume| resume <= Instant::now()) {
            state.asked = 0;
        }
    }
}

/// Return a random time that doubles with the attempts.
pub fn delay(attempt: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST);
    let mut random = [0; 4];
    // Without random numbers, all wait the longest time.
    if getrandom::fill(&mut random).is_err() {
        return most;
    }
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    most.mul_f64(0.5 + share / 2.0)
}
