//! The threads that connect, check and close for a pool: they come when there is
//! something to do, and go when there was nothing for a while.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::core::locks::{Condvar, Mutex};
use crate::core::threads::ForkLocal;

use super::line::Identity;
use super::pool::{Driver, Next, Pool};
use super::terms::Task;

/// A thread without work goes after so long.
const LINGER: Duration = Duration::from_secs(5);

/// A task that takes longer does not keep others from being done: it may be stuck on
/// a network that hangs.
const STUCK: Duration = Duration::from_secs(1);

/// Threads there are at the most, however many are stuck.
const MOST_THREADS: usize = 256;

/// The stack of a thread: what users' hooks get elsewhere.
const STACK_BYTES: usize = 8 << 20;

/// Does a pool's tasks; all of this is the user's code, and may hang or fail.
pub trait Attendant<T, E>: Send + Sync + 'static {
    /// Does the task and reports its end to the pool.
    fn attend(&self, pool: &Arc<Pool<T, E>>, task: Task<T>);
}

struct State {
    /// Grows with each call, so that none is missed by a thread about to sleep.
    calls: u64,
    threads: usize,
    idle: usize,
    /// When each busy thread began its task.
    busy: Vec<(u64, Instant)>,
    next_task: u64,
    dismissed: bool,
}

struct Shared {
    state: Mutex<State>,
    called: Condvar,
    /// Threads that work at once, stuck ones aside.
    limit: usize,
    name: String,
}

/// Threads of one pool.
pub struct Crew<A> {
    shared: Arc<Shared>,
    attendant: Arc<A>,
}

static CREWS: ForkLocal<Mutex<Vec<Weak<Shared>>>> = ForkLocal::new(|| Mutex::new(Vec::new()));

impl<A> Crew<A> {
    pub fn new(limit: usize, name: String, attendant: Arc<A>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                calls: 0,
                threads: 0,
                idle: 0,
                busy: Vec::new(),
                next_task: 0,
                dismissed: false,
            }),
            called: Condvar::new(),
            limit,
            name,
        });
        let mut crews = CREWS.get().lock();
        crews.retain(|crew| crew.strong_count() > 0);
        crews.push(Arc::downgrade(&shared));
        drop(crews);
        Self { shared, attendant }
    }
}

/// Sends the threads of all pools home, what they have to do or not, and waits for
/// them, `grace` at most: the process ends.
pub fn dismiss_crews(grace: Duration) {
    let crews: Vec<_> = CREWS
        .get()
        .lock()
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    for crew in &crews {
        crew.state.lock().dismissed = true;
        crew.called.notify_all();
    }
    let deadline = Instant::now() + grace;
    for crew in crews {
        let mut state = crew.state.lock();
        let mut in_time = true;
        while in_time && state.threads > 0 {
            (state, in_time) = crew.called.wait_until(state, deadline);
        }
    }
}

impl<T, E, A> Driver<T, E> for Crew<A>
where
    T: Identity + Send + 'static,
    E: Send + 'static,
    A: Attendant<T, E>,
{
    fn rouse(&self, pool: &Arc<Pool<T, E>>) {
        let mut state = self.shared.state.lock();
        state.calls += 1;
        if state.dismissed {
            return;
        }
        if state.idle > 0 {
            self.shared.called.notify_one();
            return;
        }
        let now = Instant::now();
        let stuck = |&&(_, began): &&(u64, Instant)| now.saturating_duration_since(began) > STUCK;
        let stuck = state.busy.iter().filter(stuck).count();
        if state.threads - stuck >= self.shared.limit || state.threads >= MOST_THREADS {
            // One of those that work will look before it sleeps.
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        let attendant = Arc::clone(&self.attendant);
        let pool = Arc::clone(pool);
        let started = std::thread::Builder::new()
            .name(self.shared.name.clone())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.live(&pool, &*attendant));
        if started.is_err() {
            // The system refuses one: the next call tries again.
            self.shared.state.lock().threads -= 1;
        }
    }
}

impl Shared {
    fn live<T, E, A>(self: &Arc<Self>, pool: &Arc<Pool<T, E>>, attendant: &A)
    where
        T: Identity + Send + 'static,
        E: Send + 'static,
        A: Attendant<T, E>,
    {
        loop {
            let (heard, others) = {
                let state = self.state.lock();
                if state.dismissed {
                    break;
                }
                (state.calls, state.idle > 0)
            };
            match pool.next_of_many(Instant::now(), others) {
                Next::Do(task, more) => {
                    let number = self.begin();
                    if more {
                        pool.summon();
                    }
                    attendant.attend(pool, task);
                    self.state.lock().busy.retain(|&(busy, _)| busy != number);
                }
                Next::Sleep(until) => {
                    if !self.sleep(heard, until) {
                        pool.unwatched();
                        // Another one that sleeps may have relied on this one's clock.
                        self.called.notify_one();
                        return;
                    }
                }
                Next::End => break,
            }
        }
        let mut state = self.state.lock();
        state.threads -= 1;
        self.called.notify_all();
    }

    fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_task += 1;
        let number = state.next_task;
        state.busy.push((number, Instant::now()));
        number
    }

    /// Sleeps until called, or until then; `false` when the thread should go.
    fn sleep(&self, heard: u64, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        let began = Instant::now();
        state.idle += 1;
        loop {
            if state.calls != heard || state.dismissed {
                break;
            }
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                break;
            }
            // One that is busy may be stuck, and then nobody would look at the clock.
            let is_spare = until.is_none() || state.idle > 1;
            if is_spare && now.saturating_duration_since(began) >= LINGER {
                state.idle -= 1;
                state.threads -= 1;
                state.calls += 1;
                return false;
            }
            let left = until.map(|until| until.saturating_duration_since(now));
            let nap = if is_spare {
                left.map_or(LINGER, |left| left.min(LINGER))
            } else {
                left.unwrap_or(LINGER)
            };
            state = self.called.wait_for(state, nap);
        }
        state.idle -= 1;
        true
    }
}
