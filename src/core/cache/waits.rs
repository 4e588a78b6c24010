//! Who waits for whom, so that nobody waits for themselves.

use std::cell::Cell;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::locks::Mutex;
use crate::core::threads::ForkLocal;

/// Whoever computes or waits: a thread, or a task of an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    thread: u64,
    /// What tells a task from others; 0 for the thread itself.
    task: u64,
}

impl Agent {
    /// The calling thread, or a task on it.
    pub fn here(task: u64) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static NUMBER: Cell<u64> = const { Cell::new(0) };
        }
        if NUMBER.get() == 0 {
            NUMBER.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        let thread = NUMBER.get();
        Self { thread, task }
    }

    fn thread(self) -> Self {
        Self { task: 0, ..self }
    }

    /// Whether `owner` cannot go on while this agent waits: it is the same, or it is on
    /// a thread that would be blocked, or that it blocks itself.
    fn holds_up(self, owner: Self) -> bool {
        self.thread == owner.thread
            && (self.task == 0 || owner.task == 0 || self.task == owner.task)
    }
}

/// Waiting would never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlock;

/// What is waited for: somebody's computation.
#[derive(Debug)]
pub struct Goal {
    pub owner: Agent,
    is_reached: AtomicBool,
}

impl Goal {
    pub fn new(owner: Agent) -> Arc<Self> {
        let is_reached = AtomicBool::new(false);
        Arc::new(Self { owner, is_reached })
    }

    /// The computation has ended. Who waits for it does so no longer, even if they have
    /// not got round to saying so.
    pub fn reach(&self) {
        self.is_reached.store(true, Ordering::Release);
    }

    /// Whose computation is still waited for.
    fn awaited(&self) -> Option<Agent> {
        (!self.is_reached.load(Ordering::Acquire)).then_some(self.owner)
    }
}

/// Several for a thread, if a signal's handler asks for a value while the thread waits.
type Waits = HashMap<Agent, Vec<Arc<Goal>>>;

static WAITS: ForkLocal<Mutex<Waits>> = ForkLocal::new(|| Mutex::new(HashMap::new()));

/// Until it is dropped, one agent is known to wait for another.
#[derive(Debug)]
pub struct Waiting {
    agent: Agent,
    goal: Arc<Goal>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = WAITS.get().lock();
        if let Entry::Occupied(mut its) = waits.entry(self.agent) {
            let goals = its.get_mut();
            if let Some(index) = goals.iter().position(|goal| Arc::ptr_eq(goal, &self.goal)) {
                goals.swap_remove(index);
            }
            if goals.is_empty() {
                its.remove();
            }
        }
    }
}

/// Notes that `waiter` waits for a computation, unless its owner waits for `waiter` already,
/// directly or through others.
pub fn wait_for(waiter: Agent, goal: &Arc<Goal>) -> Result<Waiting, Deadlock> {
    let mut waits = WAITS.get().lock();
    let mut seen = HashSet::new();
    let mut open: Vec<Agent> = goal.awaited().into_iter().collect();
    while let Some(agent) = open.pop() {
        if waiter.holds_up(agent) {
            return Err(Deadlock);
        }
        if seen.insert(agent) {
            // A task goes on once its own wait is over, and its thread's.
            for each in [agent, agent.thread()] {
                let goals = waits.get(&each).into_iter().flatten();
                open.extend(goals.filter_map(|goal| goal.awaited()));
            }
        }
    }
    let goals = waits.entry(waiter).or_default();
    goals.push(Arc::clone(goal));
    Ok(Waiting {
        agent: waiter,
        goal: Arc::clone(goal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(thread: u64, task: u64) -> Agent {
        let thread = thread + 1_000_000;
        Agent { thread, task }
    }

    fn wait_for(waiter: Agent, owner: Agent) -> Result<Waiting, Deadlock> {
        super::wait_for(waiter, &Goal::new(owner))
    }

    #[test]
    fn nobody_waits_for_themselves() {
        assert_eq!(wait_for(agent(1, 0), agent(1, 0)).err(), Some(Deadlock));
        assert_eq!(wait_for(agent(1, 7), agent(1, 7)).err(), Some(Deadlock));
    }

    #[test]
    fn a_thread_does_not_wait_for_a_task_that_runs_on_it() {
        assert!(wait_for(agent(1, 0), agent(1, 7)).is_err());
        assert!(wait_for(agent(1, 7), agent(1, 0)).is_err());
        assert!(wait_for(agent(2, 0), agent(1, 7)).is_ok());
    }

    #[test]
    fn tasks_of_one_thread_wait_for_one_another_but_not_in_a_ring() {
        let first = wait_for(agent(11, 1), agent(11, 2));
        let second = wait_for(agent(11, 2), agent(11, 3));
        assert!(first.is_ok() && second.is_ok());
        assert!(wait_for(agent(11, 3), agent(11, 1)).is_err());
        drop(second);
        assert!(wait_for(agent(11, 3), agent(11, 1)).is_ok());
    }

    #[test]
    fn a_ring_across_threads_is_seen_through_a_blocked_loop() {
        // Thread 22 is blocked, and so its task 5 is.
        let blocked = wait_for(agent(22, 0), agent(23, 0));
        assert!(blocked.is_ok());
        assert!(wait_for(agent(23, 0), agent(22, 5)).is_err());
    }

    #[test]
    fn who_was_answered_waits_no_longer() {
        let goal = Goal::new(agent(31, 0));
        let answered = super::wait_for(agent(32, 0), &goal);
        assert!(answered.is_ok());
        assert!(wait_for(agent(31, 0), agent(32, 0)).is_err());
        goal.reach();
        let next = wait_for(agent(31, 0), agent(32, 0));
        assert!(next.is_ok());
        // Nor does who comes to what has ended.
        assert!(super::wait_for(agent(32, 0), &goal).is_ok());
    }

    #[test]
    fn a_ring_is_seen_through_a_task_that_waits_on_a_loop_that_is_blocked_too() {
        // Task 5 waits for somebody who will answer, and its thread for thread 42.
        let own = wait_for(agent(41, 5), agent(43, 0));
        let blocked = wait_for(agent(41, 0), agent(42, 0));
        assert!(own.is_ok() && blocked.is_ok());
        assert!(wait_for(agent(42, 0), agent(41, 5)).is_err());
    }

    #[test]
    fn a_wait_within_a_wait_does_not_hide_it() {
        let outer = wait_for(agent(51, 0), agent(52, 0));
        let inner = wait_for(agent(51, 0), agent(53, 0));
        assert!(outer.is_ok() && inner.is_ok());
        assert!(wait_for(agent(52, 0), agent(51, 0)).is_err());
        drop(inner);
        assert!(wait_for(agent(52, 0), agent(51, 0)).is_err());
        drop(outer);
        assert!(wait_for(agent(52, 0), agent(51, 0)).is_ok());
    }
}
