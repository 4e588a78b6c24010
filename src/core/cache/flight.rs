//! One computation that many wait for.

use std::sync::Arc;
use std::time::Duration;

use crate::core::sync::{AtomicBool, Condvar, Mutex, Ordering};
use crate::core::threads::fork_generation;

use super::waits::{Agent, Goal};

/// How a computation ended.
pub enum Ending<T> {
    Value(T),
    Failed(T),
    /// It was interrupted or cancelled: one of those who wait computes instead.
    Abandoned,
}

struct State<T, B> {
    ending: Option<Ending<T>>,
    bells: Vec<(u64, B)>,
    last_bell: u64,
}

/// A computation of a value of type `T`; `B` is what wakes a task of an event loop.
pub struct Flight<T, B> {
    pub goal: Arc<Goal>,
    era: u64,
    is_overruled: AtomicBool,
    state: Mutex<State<T, B>>,
    ended: Condvar,
}

impl<T, B> Flight<T, B> {
    pub fn new(owner: Agent) -> Self {
        Self {
            goal: Goal::new(owner),
            era: fork_generation(),
            is_overruled: AtomicBool::new(false),
            state: Mutex::new(State {
                ending: None,
                bells: Vec::new(),
                last_bell: 0,
            }),
            ended: Condvar::new(),
        }
    }

    /// Ends it, once: threads that wait are woken, and the bells of tasks are for the
    /// caller to ring, unlocked. In a child of the process that began it nobody waits.
    pub fn end(&self, ending: Ending<T>) -> Vec<B> {
        if self.is_inherited() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        if state.ending.is_some() {
            // What is given is dropped after the lock.
            drop(state);
            return Vec::new();
        }
        state.ending = Some(ending);
        self.goal.reach();
        let bells = std::mem::take(&mut state.bells);
        drop(state);
        self.ended.notify_all();
        bells.into_iter().map(|(_, bell)| bell).collect()
    }

    /// Whether it was begun by the process that this one is a forked child of. Nobody ends it
    /// here, and its lock may have been held by a thread that is not here.
    pub fn is_inherited(&self) -> bool {
        self.era != fork_generation()
    }

    /// Somebody wrote or removed the key meanwhile: what comes of this is not kept.
    pub fn overrule(&self) {
        self.is_overruled.store(true, Ordering::Release);
    }

    pub fn is_overruled(&self) -> bool {
        self.is_overruled.load(Ordering::Acquire)
    }

    /// Looks at the ending, if there is one. Called while it is locked.
    pub fn look<R>(&self, look: impl FnOnce(&Ending<T>) -> R) -> Option<R> {
        self.state.lock().ending.as_ref().map(look)
    }

    /// Waits for the end, at most so long.
    pub fn wait(&self, limit: Duration) {
        let state = self.state.lock();
        if state.ending.is_none() {
            drop(self.ended.wait_for(state, limit));
        }
    }

    /// Has a bell rung at the end; gives it back if that was already.
    pub fn join(&self, bell: B) -> Result<u64, B> {
        let mut state = self.state.lock();
        if state.ending.is_some() {
            return Err(bell);
        }
        state.last_bell += 1;
        let number = state.last_bell;
        state.bells.push((number, bell));
        Ok(number)
    }

    /// Takes a bell back. In a forked child it stays where it is.
    pub fn leave(&self, number: u64) -> Option<B> {
        if self.is_inherited() {
            return None;
        }
        let mut state = self.state.lock();
        let index = state.bells.iter().position(|(each, _)| *each == number)?;
        Some(state.bells.swap_remove(index).1)
    }

    pub fn waiting(&self) -> usize {
        self.state.lock().bells.len()
    }

    /// What it holds: how it ended, and the bells; unless it is locked.
    pub fn try_each<E>(
        &self,
        mut visit: impl FnMut(&T) -> Result<(), E>,
        mut visit_bell: impl FnMut(&B) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        if let Some(Ending::Value(held) | Ending::Failed(held)) = &state.ending {
            visit(held)?;
        }
        state
            .bells
            .iter()
            .try_for_each(|(_, bell)| visit_bell(bell))
    }

    /// Gives back what it holds, when nobody has it any more.
    pub fn empty(&self) -> (Option<Ending<T>>, Vec<(u64, B)>) {
        let Some(mut state) = self.state.try_lock() else {
            return (None, Vec::new());
        };
        let ending = state.ending.replace(Ending::Abandoned);
        (ending, std::mem::take(&mut state.bells))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn value(flight: &Flight<u32, &'static str>) -> Option<u32> {
        flight.look(|ending| match ending {
            Ending::Value(value) => *value,
            Ending::Failed(_) | Ending::Abandoned => 0,
        })
    }

    #[test]
    fn the_first_ending_counts_and_rings_the_bells_that_are_left() {
        let flight = Flight::new(Agent::here(0));
        let first = flight.join("one").unwrap();
        flight.join("two").unwrap();
        assert_eq!(flight.leave(first), Some("one"));
        assert_eq!(flight.waiting(), 1);
        assert_eq!(flight.end(Ending::Value(5)), ["two"]);
        assert!(flight.end(Ending::Abandoned).is_empty());
        assert_eq!(value(&flight), Some(5));
        assert_eq!(flight.join("late"), Err("late"));
    }

    #[test]
    fn what_it_holds_is_seen_and_given_back() {
        let flight = Flight::new(Agent::here(0));
        flight.join("bell").unwrap();
        let seen = |flight: &Flight<u32, &'static str>| {
            let (mut values, mut bells) = (Vec::new(), Vec::new());
            let told: Result<(), ()> = flight.try_each(
                |value| {
                    values.push(*value);
                    Ok(())
                },
                |bell| {
                    bells.push(*bell);
                    Ok(())
                },
            );
            told.map(|()| (values, bells))
        };
        assert_eq!(seen(&flight), Ok((vec![], vec!["bell"])));
        flight.end(Ending::Failed(3));
        assert_eq!(seen(&flight), Ok((vec![3], vec![])));
        let (ending, bells) = flight.empty();
        assert!(matches!(ending, Some(Ending::Failed(3))) && bells.is_empty());
        assert_eq!(seen(&flight), Ok((vec![], vec![])));
    }

    #[test]
    fn threads_that_wait_are_woken() {
        let flight = Arc::new(Flight::new(Agent::here(0)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while value(&flight).is_none() {
                        flight.wait(Duration::from_secs(60));
                    }
                });
            }
            flight.end(Ending::Value(1));
        });
    }
}
