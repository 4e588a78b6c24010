//! One thread that looks at active runs a thousand times a second and helps
//! those whose caller is stuck inside a node.
//!
//! Short runs never pay for it: they are over before it looks. It needs no
//! interpreter, so a node that holds the interpreter lock cannot delay it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::core::locks::{Condvar, Mutex};

use super::fork::{ForkLocal, generation};

/// How often active runs are looked at: the longest time that a ready node
/// waits behind one that blocks for the first time, times two.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without an active run after which the thread sleeps until woken.
const IDLE_TICKS: u32 = 50;

/// Something to look at regularly.
pub trait Watched: Send + Sync {
    fn tick(&self);
}

static CLOCK_START: OnceLock<Instant> = OnceLock::new();
static CLOCK_MICROS: AtomicU64 = AtomicU64::new(STANDS_STILL);

/// In place of the clock's time while nobody moves it.
const STANDS_STILL: u64 = u64::MAX;

/// Seconds on a clock that moves once a tick while something is watched: a
/// read costs nothing, and differences are right to a few ticks. Otherwise a
/// read asks the system.
#[inline]
pub fn coarse_seconds() -> f64 {
    let micros = CLOCK_MICROS.load(Ordering::Relaxed);
    let micros = if micros == STANDS_STILL {
        precise_micros()
    } else {
        micros
    };
    micros as f64 * 1e-6
}

#[cold]
fn precise_micros() -> u64 {
    let start = CLOCK_START.get_or_init(Instant::now);
    start.elapsed().as_micros() as u64
}

fn set_coarse_clock() {
    CLOCK_MICROS.store(precise_micros(), Ordering::Relaxed);
}

struct State {
    entries: Vec<(usize, Arc<dyn Watched>)>,
    running: bool,
    parked: bool,
}

struct Watcher {
    state: Mutex<State>,
    wake: Condvar,
    next_key: AtomicUsize,
}

static WATCHER: ForkLocal<Watcher> = ForkLocal::new(|| Watcher {
    state: Mutex::new(State {
        entries: Vec::new(),
        running: false,
        parked: false,
    }),
    wake: Condvar::new(),
    next_key: AtomicUsize::new(0),
});

/// Keeps a run watched until dropped.
pub struct Watching {
    watcher: &'static Watcher,
    key: usize,
    generation: u64,
}

/// Watches `subject` until the guard is dropped; a tick that is under way then
/// is not waited for. Without the watcher's thread (the system refused it) runs
/// still finish, with less parallelism.
pub fn watch(subject: Arc<dyn Watched>) -> Watching {
    let watcher = WATCHER.get();
    let key = watcher.next_key.fetch_add(1, Ordering::Relaxed);
    let mut state = watcher.state.lock();
    state.entries.push((key, subject));
    if !state.running {
        watcher.start(&mut state);
    } else if state.parked {
        state.parked = false;
        set_coarse_clock();
        watcher.wake.notify_one();
    }
    drop(state);
    Watching {
        watcher,
        key,
        generation: generation(),
    }
}

/// Makes sure that the watcher's thread runs, with all that it maps.
pub fn prepare_watcher() {
    let watcher = WATCHER.get();
    let mut state = watcher.state.lock();
    if !state.running {
        watcher.start(&mut state);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.generation != generation() {
            // In a forked child the parent's watcher may stay locked for ever.
            return;
        }
        let mut state = self.watcher.state.lock();
        if let Some(place) = state.entries.iter().position(|(key, _)| *key == self.key) {
            let entry = state.entries.swap_remove(place);
            drop(state);
            drop(entry);
        }
    }
}

impl Watcher {
    /// Starts the thread, and waits until it runs and has a heap.
    fn start(&'static self, state: &mut State) {
        let (runs, ran) = std::sync::mpsc::channel();
        state.running = std::thread::Builder::new()
            .name("nexus-core-watcher".into())
            .stack_size(256 << 10)
            .spawn(move || {
                // Sending allocates. The receiver waits for nothing else.
                let _ = runs.send(());
                self.look_around();
            })
            .is_ok();
        if state.running {
            let _ = ran.recv();
            set_coarse_clock();
        }
    }

    fn look_around(&self) {
        let mut idle_ticks = 0;
        let mut subjects = Vec::new();
        loop {
            std::thread::sleep(TICK);
            set_coarse_clock();
            {
                let mut state = self.state.lock();
                if state.entries.is_empty() {
                    idle_ticks += 1;
                    if idle_ticks >= IDLE_TICKS {
                        state.parked = true;
                        CLOCK_MICROS.store(STANDS_STILL, Ordering::Relaxed);
                        while state.parked {
                            state = self.wake.wait(state);
                        }
                        idle_ticks = 0;
                    }
                    continue;
                }
                idle_ticks = 0;
                subjects.extend(state.entries.iter().map(|(_, subject)| Arc::clone(subject)));
            }
            // Outside the lock: a tick takes other locks and wakes threads.
            for subject in subjects.drain(..) {
                subject.tick();
            }
        }
    }
}
