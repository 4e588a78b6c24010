//! Places for nodes of several runs: a bound that all of them share, fairly.
//!
//! A run that wants to start a node asks for a *place*. While none is free,
//! runs stand in line, each at most once: whoever is given a place and wants
//! another goes to the end. So a run with ten thousand ready nodes delays one
//! with a single node by no more than one node.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::core::locks::Mutex;
use crate::core::threads::fork_generation;

/// Where the node is going to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a worker thread, of which there is a bounded number too.
    Thread,
    /// Wherever the run itself awaits it.
    Loop,
}

/// A run that stands in line.
pub trait Applicant: Send + Sync {
    /// It has been given the place that it asked for. Called without locks.
    fn admitted(&self, place: Place);
}

/// An applicant, and the place that it has been given.
type Admitted = (Place, Arc<dyn Applicant>);

thread_local! {
    /// Those whom the `give_back` that this thread is in has still to tell.
    static TO_TELL: RefCell<Option<VecDeque<Admitted>>> = const { RefCell::new(None) };
}

/// Ends the telling, also when an applicant panics.
struct Telling;

impl Drop for Telling {
    fn drop(&mut self) {
        let untold = TO_TELL.take();
        // Not before: what is dropped may give a place back.
        drop(untold);
    }
}

/// Tells applicants that they have been admitted. One that gives its place back
/// at once does so inside this, and the line may be long: whoever is next is
/// told after it, not inside it.
fn tell(admitted: Vec<Admitted>) {
    if admitted.is_empty() {
        return;
    }
    let is_inside = TO_TELL.with_borrow_mut(|to_tell| {
        let is_inside = to_tell.is_some();
        to_tell.get_or_insert_default().extend(admitted);
        is_inside
    });
    if is_inside {
        return;
    }
    let _telling = Telling;
    while let Some((place, applicant)) =
        TO_TELL.with_borrow_mut(|to_tell| to_tell.as_mut()?.pop_front())
    {
        applicant.admitted(place);
    }
}

/// Those who wait for one kind of place, each with the number of its turn.
type Line = VecDeque<(u64, Arc<dyn Applicant>)>;

struct State {
    places: usize,
    threads: usize,
    taken: usize,
    threads_taken: usize,
    /// A line each, or finding the first for whom there is room could mean
    /// looking at all the others. Who came first of two lines, the turns tell.
    for_threads: Line,
    for_loop: Line,
    turns: u64,
    most_taken: usize,
    /// Thread time spent in places until `busy_until`.
    busy: Duration,
    busy_until: Instant,
}

impl State {
    fn has_room(&self, place: Place) -> bool {
        // After the bounds became narrower, more may be taken than there are.
        self.taken < self.places && (place == Place::Loop || self.threads_taken < self.threads)
    }

    fn line(&mut self, place: Place) -> &mut Line {
        match place {
            Place::Thread => &mut self.for_threads,
            Place::Loop => &mut self.for_loop,
        }
    }

    /// The place of the first in line for whom there is room.
    fn due(&self) -> Option<Place> {
        let first = |place, line: &Line| {
            let (turn, _) = line.front().filter(|_| self.has_room(place))?;
            Some((*turn, place))
        };
        let for_thread = first(Place::Thread, &self.for_threads);
        let for_loop = first(Place::Loop, &self.for_loop);
        let due = for_thread.into_iter().chain(for_loop);
        due.min_by_key(|(turn, _)| *turn).map(|(_, place)| place)
    }

    /// Takes a place if one is free. That overtakes nobody: what is given back
    /// goes at once to whoever waits for it.
    fn take(&mut self, place: Place) -> bool {
        let free = self.has_room(place);
        if free {
            self.occupy(place);
        }
        free
    }

    fn wait(&mut self, place: Place, applicant: Arc<dyn Applicant>) {
        self.turns += 1;
        let turn = self.turns;
        self.line(place).push_back((turn, applicant));
    }

    fn occupy(&mut self, place: Place) {
        self.taken += 1;
        self.most_taken = self.most_taken.max(self.taken);
        if place == Place::Thread {
            self.account();
            self.threads_taken += 1;
        }
    }

    fn vacate(&mut self, place: Place) {
        // A child may get back what was taken in its parent.
        self.taken = self.taken.saturating_sub(1);
        if place == Place::Thread {
            self.account();
            self.threads_taken = self.threads_taken.saturating_sub(1);
        }
    }

    /// Adds up what threads were busy since it was last done. Places on a loop
    /// do not count: a look at the clock would show in runs as short as theirs.
    fn account(&mut self) {
        let now = Instant::now();
        let threads = u32::try_from(self.threads_taken).unwrap_or(u32::MAX);
        self.busy += now.saturating_duration_since(self.busy_until) * threads;
        self.busy_until = now;
    }

    /// Lets in as many as there is room for.
    fn admit(&mut self) -> Vec<Admitted> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Gives a place to the first in line for whom there is room.
    fn next(&mut self) -> Option<Admitted> {
        let place = self.due()?;
        let (_, applicant) = self.line(place).pop_front()?;
        self.occupy(place);
        Some((place, applicant))
    }

    fn waiting(&self) -> usize {
        self.for_threads.len() + self.for_loop.len()
    }
}

/// The places of one runtime.
pub struct Admission {
    /// The bounds in `state`, readable while somebody who was forked away holds its lock.
    places: AtomicUsize,
    threads: AtomicUsize,
    generation: u64,
    state: Mutex<State>,
    /// Whether anybody stands in line; looked at between nodes.
    contended: AtomicBool,
    /// In a forked child: the parent's runs, and who of them held a lock at the
    /// time, are of no concern to it.
    in_child: OnceLock<Box<Admission>>,
}

impl Admission {
    /// `places` nodes at once, `threads` of them on worker threads; at least
    /// one each.
    pub fn new(places: usize, threads: usize) -> Self {
        let (places, threads) = (places.max(1), threads.max(1));
        Self {
            places: AtomicUsize::new(places),
            threads: AtomicUsize::new(threads),
            generation: fork_generation(),
            state: Mutex::new(State {
                places,
                threads,
                taken: 0,
                threads_taken: 0,
                for_threads: Line::new(),
                for_loop: Line::new(),
                turns: 0,
                most_taken: 0,
                busy: Duration::ZERO,
                busy_until: Instant::now(),
            }),
            contended: AtomicBool::new(false),
            in_child: OnceLock::new(),
        }
    }

    fn here(&self) -> &Self {
        let mut admission = self;
        while admission.generation != fork_generation() {
            admission = admission
                .in_child
                .get_or_init(|| Box::new(Self::new(admission.bounds().0, admission.bounds().1)));
        }
        admission
    }

    fn bounds(&self) -> (usize, usize) {
        let places = self.places.load(Ordering::Relaxed);
        (places, self.threads.load(Ordering::Relaxed))
    }

    pub fn places(&self) -> usize {
        self.here().bounds().0
    }

    pub fn threads(&self) -> usize {
        self.here().bounds().1
    }

    /// Changes the bounds, at least one each. Whoever stands in line comes in if
    /// there is room now. With less room, all keep the places that they have,
    /// and nobody is let in until there are few enough.
    pub fn resize(&self, places: usize, threads: usize) {
        let (places, threads) = (places.max(1), threads.max(1));
        let here = self.here();
        let admitted = {
            let mut state = here.state.lock();
            (state.places, state.threads) = (places, threads);
            // What ran at once under other bounds says nothing about these.
            state.most_taken = state.taken.min(places);
            here.places.store(places, Ordering::Relaxed);
            here.threads.store(threads, Ordering::Relaxed);
            let admitted = state.admit();
            here.contended.store(state.waiting() > 0, Ordering::Relaxed);
            admitted
        };
        tell(admitted);
    }

    /// Time that threads have spent in places, of all of them together.
    pub fn thread_time(&self) -> Duration {
        let mut state = self.here().state.lock();
        state.account();
        state.busy
    }

    /// Takes a place if one is free and nobody stands in line for it.
    pub fn try_take(&self, place: Place) -> bool {
        self.here().state.lock().take(place)
    }

    /// Takes a place, or stands in line for it; whether it was had at once.
    pub fn take_or_wait(&self, place: Place, applicant: &Arc<dyn Applicant>) -> bool {
        let here = self.here();
        let mut state = here.state.lock();
        let taken = state.take(place);
        if !taken {
            state.wait(place, Arc::clone(applicant));
            here.contended.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Gives a place back; whoever has waited longest gets it.
    pub fn give_back(&self, place: Place) {
        let here = self.here();
        let admitted = {
            let mut state = here.state.lock();
            state.vacate(place);
            let admitted = state.admit();
            here.contended.store(state.waiting() > 0, Ordering::Relaxed);
            admitted
        };
        tell(admitted);
    }

    /// Leaves the line; whether the applicant stood in it. If it did not, it has
    /// been admitted, or will be told so any moment.
    pub fn leave_line(&self, place: Place, applicant: &Arc<dyn Applicant>) -> bool {
        let here = self.here();
        let mut state = here.state.lock();
        let line = state.line(place);
        let found = line
            .iter()
            .position(|(_, who)| std::ptr::addr_eq(Arc::as_ptr(who), Arc::as_ptr(applicant)));
        let left = found.and_then(|index| line.remove(index));
        here.contended.store(state.waiting() > 0, Ordering::Relaxed);
        drop(state);
        left.is_some()
    }

    /// Whether anybody waits for a place.
    #[inline]
    pub fn is_contended(&self) -> bool {
        self.here().contended.load(Ordering::Relaxed)
    }

    /// The most nodes that ran at once since the bounds are as they are.
    pub fn most_taken(&self) -> usize {
        self.here().state.lock().most_taken
    }

    /// Nodes that run, and runs that stand in line.
    pub fn occupancy(&self) -> (usize, usize) {
        let state = self.here().state.lock();
        (state.taken, state.waiting())
    }

    /// Nodes that run on worker threads.
    pub fn threads_taken(&self) -> usize {
        self.here().state.lock().threads_taken
    }
}
