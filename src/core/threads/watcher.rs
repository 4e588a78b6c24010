//! One thread that looks at active runs a thousand times a second and helps
//! those whose caller is stuck inside a node.
//!
//! Short runs never pay for it: they are over before it looks. It needs no
//! interpreter, so a node that holds the interpreter lock cannot delay it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::fork::ForkLocal;

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
static CLOCK_MICROS: AtomicU64 = AtomicU64::new(0);

/// Seconds on a clock that moves once a tick while something is watched: a
/// read costs nothing, and differences are right to a few ticks.
#[inline]
pub fn coarse_seconds() -> f64 {
    CLOCK_MICROS.load(Ordering::Relaxed) as f64 * 1e-6
}

fn set_coarse_clock() {
    let start = CLOCK_START.get_or_init(Instant::now);
    let micros = start.elapsed().as_micros() as u64;
    CLOCK_MICROS.store(micros, Ordering::Relaxed);
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
}

/// Watches `subject` until the guard is dropped. Without the watcher's thread
/// (the system refused it) runs still finish, with less parallelism.
pub fn watch(subject: Arc<dyn Watched>) -> Watching {
    let watcher = WATCHER.get();
    let key = watcher.next_key.fetch_add(1, Ordering::Relaxed);
    let mut state = watcher.state.lock();
    if !state.running || state.parked {
        // The clock stood still meanwhile.
        set_coarse_clock();
    }
    state.entries.push((key, subject));
    if !state.running {
        state.running = std::thread::Builder::new()
            .name("nexus-core-watcher".into())
            .stack_size(256 << 10)
            .spawn(move || watcher.look_around())
            .is_ok();
    } else if state.parked {
        state.parked = false;
        watcher.wake.notify_one();
    }
    drop(state);
    Watching { watcher, key }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.watcher.state.lock();
        if let Some(place) = state.entries.iter().position(|(key, _)| *key == self.key) {
            let entry = state.entries.swap_remove(place);
            drop(state);
            drop(entry);
        }
    }
}

impl Watcher {
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
                        while state.parked {
                            self.wake.wait(&mut state);
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
