//! Places that several runs share: who gets one, and in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::core::locks::{Condvar, Mutex};
use crate::core::schedule::{Admission, Applicant, Place};
use crate::core::testing::{eventually, holds_in_a_child};

/// Whom places were given to, in order.
type Book = Arc<Mutex<Vec<(&'static str, Place)>>>;

/// Writes down what it is given.
struct Noting {
    name: &'static str,
    book: Book,
}

impl Applicant for Noting {
    fn admitted(&self, place: Place) {
        self.book.lock().push((self.name, place));
    }
}

fn noting(name: &'static str, book: &Book) -> Arc<dyn Applicant> {
    let book = Arc::clone(book);
    Arc::new(Noting { name, book })
}

fn take_all(admission: &Admission, place: Place, count: usize) {
    for _ in 0..count {
        assert!(admission.try_take(place));
    }
    assert!(!admission.try_take(place));
}

#[test]
fn there_is_always_a_place_and_a_thread() {
    let admission = Admission::new(0, 0);
    assert_eq!((admission.places(), admission.threads()), (1, 1));
    take_all(&admission, Place::Thread, 1);
}

#[test]
fn whoever_asks_first_is_given_a_place_first() {
    let admission = Admission::new(2, 2);
    let book = Book::default();
    take_all(&admission, Place::Thread, 2);
    for name in ["a", "b", "c", "d"] {
        assert!(!admission.take_or_wait(Place::Thread, &noting(name, &book)));
    }
    assert_eq!(admission.occupancy(), (2, 4));
    for _ in 0..4 {
        admission.give_back(Place::Thread);
        assert!(!admission.try_take(Place::Thread), "nobody overtakes");
    }
    let names: Vec<_> = book.lock().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(admission.occupancy(), (2, 0));
}

#[test]
fn a_free_place_is_had_at_once_and_without_being_told() {
    let admission = Admission::new(2, 1);
    let book = Book::default();
    assert!(admission.take_or_wait(Place::Thread, &noting("thread", &book)));
    assert!(admission.take_or_wait(Place::Loop, &noting("loop", &book)));
    assert_eq!(*book.lock(), []);
    assert_eq!(admission.occupancy(), (2, 0));
}

#[test]
fn a_thread_is_one_of_the_places() {
    let admission = Admission::new(3, 2);
    take_all(&admission, Place::Thread, 2);
    take_all(&admission, Place::Loop, 1);
    admission.give_back(Place::Loop);
    assert!(!admission.try_take(Place::Thread), "no thread is free");
    assert!(admission.try_take(Place::Loop));
    admission.give_back(Place::Thread);
    assert!(admission.try_take(Place::Thread));
    assert!(!admission.try_take(Place::Loop), "nor is a place");
}

#[test]
fn nodes_of_the_loop_may_have_all_places() {
    let admission = Admission::new(3, 1);
    take_all(&admission, Place::Loop, 3);
    assert!(!admission.try_take(Place::Thread));
}

#[test]
fn the_loop_overtakes_those_who_wait_for_a_thread_when_none_is_free() {
    let admission = Admission::new(2, 1);
    let book = Book::default();
    take_all(&admission, Place::Thread, 1);
    assert!(!admission.take_or_wait(Place::Thread, &noting("thread", &book)));
    assert!(admission.take_or_wait(Place::Loop, &noting("loop", &book)));
    assert!(!admission.take_or_wait(Place::Loop, &noting("loop", &book)));
    admission.give_back(Place::Loop);
    assert_eq!(*book.lock(), [("loop", Place::Loop)]);
    admission.give_back(Place::Thread);
    assert_eq!(book.lock()[1..], [("thread", Place::Thread)]);
}

#[test]
fn the_loop_does_not_overtake_when_a_thread_is_free() {
    let admission = Admission::new(2, 2);
    let book = Book::default();
    take_all(&admission, Place::Loop, 2);
    assert!(!admission.take_or_wait(Place::Thread, &noting("thread", &book)));
    assert!(!admission.take_or_wait(Place::Loop, &noting("loop", &book)));
    admission.give_back(Place::Loop);
    assert_eq!(*book.lock(), [("thread", Place::Thread)]);
    admission.give_back(Place::Loop);
    assert_eq!(book.lock()[1..], [("loop", Place::Loop)]);
}

#[test]
fn giving_back_too_often_makes_no_places() {
    let admission = Admission::new(2, 1);
    for _ in 0..5 {
        admission.give_back(Place::Thread);
        admission.give_back(Place::Loop);
    }
    assert_eq!(admission.occupancy(), (0, 0));
    take_all(&admission, Place::Thread, 1);
    take_all(&admission, Place::Loop, 1);
}

#[test]
fn whoever_leaves_the_line_is_not_given_a_place() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    let (gone, stays) = (noting("gone", &book), noting("stays", &book));
    take_all(&admission, Place::Thread, 1);
    assert!(
        !admission.leave_line(Place::Thread, &gone),
        "it is not there"
    );
    assert!(!admission.take_or_wait(Place::Thread, &gone));
    assert!(!admission.take_or_wait(Place::Thread, &stays));
    assert!(
        !admission.leave_line(Place::Loop, &gone),
        "not for the loop"
    );
    assert!(admission.leave_line(Place::Thread, &gone));
    assert!(!admission.leave_line(Place::Thread, &gone), "it has left");
    assert_eq!(Arc::strong_count(&gone), 1, "the line lets go of it");
    admission.give_back(Place::Thread);
    assert_eq!(*book.lock(), [("stays", Place::Thread)]);
    assert!(
        !admission.leave_line(Place::Thread, &stays),
        "it was admitted"
    );
    assert_eq!(Arc::strong_count(&stays), 1);
}

#[test]
fn an_applicant_may_wait_for_the_loop_and_for_a_thread() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    let both = noting("both", &book);
    take_all(&admission, Place::Loop, 1);
    assert!(!admission.take_or_wait(Place::Loop, &both));
    assert!(!admission.take_or_wait(Place::Thread, &both));
    assert!(admission.leave_line(Place::Loop, &both));
    admission.give_back(Place::Loop);
    assert_eq!(*book.lock(), [("both", Place::Thread)]);
}

#[test]
fn it_is_contended_while_anybody_waits() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    assert!(!admission.is_contended());
    take_all(&admission, Place::Thread, 1);
    assert!(!admission.is_contended(), "nobody waits");
    let (one, other) = (noting("one", &book), noting("other", &book));
    assert!(!admission.take_or_wait(Place::Thread, &one));
    assert!(!admission.take_or_wait(Place::Loop, &other));
    assert!(admission.is_contended());
    admission.leave_line(Place::Thread, &one);
    assert!(admission.is_contended(), "one still waits");
    admission.give_back(Place::Thread);
    assert!(!admission.is_contended());
    assert!(!admission.take_or_wait(Place::Thread, &one));
    assert!(admission.is_contended());
    admission.leave_line(Place::Thread, &one);
    assert!(!admission.is_contended());
}

/// A run that always wants another place.
struct Wide {
    me: std::sync::Weak<Wide>,
    admission: Arc<Admission>,
    book: Book,
}

impl Applicant for Wide {
    fn admitted(&self, place: Place) {
        self.book.lock().push(("wide", place));
        let me: Arc<dyn Applicant> = self.me.upgrade().expect("it is being called");
        assert!(!self.admission.take_or_wait(place, &me));
    }
}

#[test]
fn a_wide_run_is_given_one_place_a_turn_while_others_wait() {
    let admission = Arc::new(Admission::new(1, 1));
    let book = Book::default();
    take_all(&admission, Place::Thread, 1);
    let wide: Arc<dyn Applicant> = Arc::new_cyclic(|me| Wide {
        me: std::sync::Weak::clone(me),
        admission: Arc::clone(&admission),
        book: Arc::clone(&book),
    });
    assert!(!admission.take_or_wait(Place::Thread, &wide));
    for name in ["a", "b", "c"] {
        assert!(!admission.take_or_wait(Place::Thread, &noting(name, &book)));
    }
    for _ in 0..3 {
        admission.give_back(Place::Thread);
    }
    assert!(!admission.take_or_wait(Place::Thread, &noting("late", &book)));
    for _ in 0..4 {
        admission.give_back(Place::Thread);
    }
    let names: Vec<_> = book.lock().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["wide", "a", "b", "c", "wide", "late", "wide"]);
}

/// A run that has ended while it stood in line.
struct Unwilling {
    admission: Arc<Admission>,
    told: Arc<AtomicUsize>,
}

impl Applicant for Unwilling {
    fn admitted(&self, place: Place) {
        self.told.fetch_add(1, Ordering::SeqCst);
        self.admission.give_back(place);
    }
}

/// On a stack of a worker's size, a call inside the one before for each of them
/// would end the process.
#[test]
fn any_number_of_applicants_may_give_their_place_back_at_once() {
    const MANY: usize = 200_000;
    let admission = Arc::new(Admission::new(1, 1));
    let told = Arc::new(AtomicUsize::new(0));
    take_all(&admission, Place::Thread, 1);
    for _ in 0..MANY {
        let applicant: Arc<dyn Applicant> = Arc::new(Unwilling {
            admission: Arc::clone(&admission),
            told: Arc::clone(&told),
        });
        assert!(!admission.take_or_wait(Place::Thread, &applicant));
    }
    let book = Book::default();
    assert!(!admission.take_or_wait(Place::Thread, &noting("last", &book)));
    admission.give_back(Place::Thread);
    assert_eq!(told.load(Ordering::SeqCst), MANY);
    assert_eq!(*book.lock(), [("last", Place::Thread)]);
    assert_eq!(admission.occupancy(), (1, 0));
}

struct Panicking;

impl Applicant for Panicking {
    fn admitted(&self, _place: Place) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn an_applicant_that_panics_does_not_keep_the_thread_from_telling_others() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    let panicking: Arc<dyn Applicant> = Arc::new(Panicking);
    take_all(&admission, Place::Loop, 1);
    assert!(!admission.take_or_wait(Place::Loop, &panicking));
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        admission.give_back(Place::Loop);
    }));
    assert!(told.is_err());
    assert!(!admission.take_or_wait(Place::Loop, &noting("next", &book)));
    admission.give_back(Place::Loop);
    assert_eq!(*book.lock(), [("next", Place::Loop)]);
}

/// A thread that waits for its place.
#[derive(Default)]
struct Waiting {
    admitted: Mutex<bool>,
    changed: Condvar,
}

impl Waiting {
    fn take(self: &Arc<Self>, admission: &Admission, place: Place) {
        let applicant: Arc<dyn Applicant> = Arc::clone(self) as _;
        if admission.take_or_wait(place, &applicant) {
            return;
        }
        let mut admitted = self.admitted.lock();
        while !*admitted {
            admitted = self.changed.wait(admitted);
        }
        *admitted = false;
    }
}

impl Applicant for Waiting {
    fn admitted(&self, _place: Place) {
        *self.admitted.lock() = true;
        self.changed.notify_one();
    }
}

/// How many are inside, and how many ever were at once.
#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn threads_that_hammer_are_never_more_inside_than_there_are_places() {
    const TURNS: usize = 2_000;
    let admission = Arc::new(Admission::new(3, 2));
    let (all, on_threads) = (Arc::new(Inside::default()), Arc::new(Inside::default()));
    let (sender, ended) = mpsc::channel();
    for number in 0..8 {
        let (admission, sender) = (Arc::clone(&admission), sender.clone());
        let (all, on_threads) = (Arc::clone(&all), Arc::clone(&on_threads));
        std::thread::spawn(move || {
            let waiting = Arc::new(Waiting::default());
            for turn in 0..TURNS {
                let place = if (number + turn) % 3 == 0 {
                    Place::Loop
                } else {
                    Place::Thread
                };
                if turn % 7 != 0 || !admission.try_take(place) {
                    waiting.take(&admission, place);
                }
                all.enter();
                if place == Place::Thread {
                    on_threads.enter();
                }
                if turn % 4 == 0 {
                    std::thread::yield_now();
                }
                if place == Place::Thread {
                    on_threads.leave();
                }
                all.leave();
                admission.give_back(place);
            }
            let _ = sender.send(());
        });
    }
    drop(sender);
    for _ in 0..8 {
        let ended = ended.recv_timeout(std::time::Duration::from_secs(50));
        assert!(ended.is_ok(), "a thread never got its place");
    }
    assert_eq!(all.most.load(Ordering::SeqCst), 3);
    assert_eq!(on_threads.most.load(Ordering::SeqCst), 2);
    assert_eq!(admission.occupancy(), (0, 0));
    assert!(!admission.is_contended());
}

/// Were it not for the line, those who come back at once would keep the places.
#[test]
fn a_run_that_asks_now_and_then_gets_its_turns_beside_those_that_never_stop() {
    let admission = Arc::new(Admission::new(1, 1));
    let done = Arc::new(AtomicUsize::new(0));
    let hogs: Vec<_> = (0..3)
        .map(|_| {
            let (admission, done) = (Arc::clone(&admission), Arc::clone(&done));
            std::thread::spawn(move || {
                let waiting = Arc::new(Waiting::default());
                while done.load(Ordering::SeqCst) == 0 {
                    waiting.take(&admission, Place::Thread);
                    admission.give_back(Place::Thread);
                }
            })
        })
        .collect();
    let patient = {
        let (admission, done) = (Arc::clone(&admission), Arc::clone(&done));
        std::thread::spawn(move || {
            let waiting = Arc::new(Waiting::default());
            for _ in 0..500 {
                waiting.take(&admission, Place::Thread);
                admission.give_back(Place::Thread);
                std::thread::yield_now();
            }
            done.store(1, Ordering::SeqCst);
        })
    };
    eventually("it has had all its turns", || patient.is_finished());
    patient.join().expect("it does not panic");
    for hog in hogs {
        hog.join().expect("it does not panic");
    }
    assert_eq!(admission.occupancy(), (0, 0));
}

#[test]
fn a_forked_child_finds_all_places_free_and_nobody_in_line() {
    let admission = Admission::new(2, 1);
    let book = Book::default();
    take_all(&admission, Place::Thread, 1);
    take_all(&admission, Place::Loop, 1);
    assert!(!admission.take_or_wait(Place::Loop, &noting("parents", &book)));
    let all_free = |book: &Book| {
        let at_first = admission.occupancy() == (0, 0) && !admission.is_contended();
        let parents_place = {
            // The node that forked ends in the child too.
            admission.give_back(Place::Thread);
            admission.occupancy() == (0, 0) && book.lock().is_empty()
        };
        take_all(&admission, Place::Thread, 1);
        take_all(&admission, Place::Loop, 1);
        at_first && parents_place
    };
    assert!(holds_in_a_child(|| {
        // And so does a child of the child.
        all_free(&book) && holds_in_a_child(|| all_free(&book)) && admission.occupancy() == (2, 0)
    }));
    assert_eq!(
        admission.occupancy(),
        (2, 1),
        "the parent's are as they were"
    );
    admission.give_back(Place::Loop);
    assert_eq!(*book.lock(), [("parents", Place::Loop)]);
}

#[test]
fn a_forked_child_sees_who_waits_in_it() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    assert!(!admission.is_contended());
    assert!(holds_in_a_child(|| {
        take_all(&admission, Place::Thread, 1);
        let waits = !admission.take_or_wait(Place::Thread, &noting("childs", &book));
        let contended = admission.is_contended();
        admission.give_back(Place::Thread);
        waits && contended && !admission.is_contended() && book.lock().len() == 1
    }));
}

#[test]
fn a_forked_child_is_not_held_up_by_a_lock_of_its_parent() {
    let admission = Arc::new(Admission::new(1, 1));
    let stop = Arc::new(AtomicUsize::new(0));
    let busy = {
        let (admission, stop) = (Arc::clone(&admission), Arc::clone(&stop));
        std::thread::spawn(move || {
            while stop.load(Ordering::SeqCst) == 0 {
                admission.occupancy();
            }
        })
    };
    for _ in 0..50 {
        assert!(holds_in_a_child(|| {
            let taken = admission.try_take(Place::Thread);
            admission.give_back(Place::Thread);
            taken && admission.occupancy() == (0, 0)
        }));
    }
    stop.store(1, Ordering::SeqCst);
    busy.join().expect("it does not panic");
}

#[test]
fn more_room_lets_in_whoever_waits_and_less_takes_nothing_away() {
    let admission = Admission::new(1, 1);
    let book = Book::default();
    take_all(&admission, Place::Thread, 1);
    for name in ["a", "b", "c"] {
        assert!(!admission.take_or_wait(Place::Thread, &noting(name, &book)));
    }
    admission.resize(3, 3);
    let names = || {
        book.lock()
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(), ["a", "b"]);
    assert_eq!(admission.occupancy(), (3, 1));
    admission.resize(1, 1);
    assert_eq!(admission.occupancy(), (3, 1), "whoever is in stays in");
    admission.give_back(Place::Thread);
    admission.give_back(Place::Thread);
    assert_eq!((admission.occupancy(), names().len()), ((1, 1), 2));
    admission.give_back(Place::Thread);
    assert_eq!(names(), ["a", "b", "c"]);
    assert_eq!(
        admission.most_taken(),
        1,
        "since the bounds are as they are"
    );
}

#[test]
fn time_in_places_of_threads_adds_up() {
    let admission = Admission::new(3, 2);
    take_all(&admission, Place::Thread, 2);
    assert!(admission.try_take(Place::Loop));
    let (began, before) = (std::time::Instant::now(), admission.thread_time());
    std::thread::sleep(std::time::Duration::from_millis(5));
    let both = admission.thread_time().saturating_sub(before);
    assert!(both >= std::time::Duration::from_millis(10));
    assert!(both <= 2 * began.elapsed());
    admission.give_back(Place::Thread);
    admission.give_back(Place::Thread);
    let idle = admission.thread_time();
    assert_eq!(admission.thread_time(), idle);
}

#[test]
fn a_forked_child_has_the_bounds_of_its_time() {
    let admission = Admission::new(2, 1);
    admission.resize(5, 4);
    assert!(holds_in_a_child(|| {
        let inherited = (admission.places(), admission.threads()) == (5, 4);
        take_all(&admission, Place::Thread, 4);
        admission.resize(1, 1);
        inherited && (admission.places(), admission.occupancy()) == (1, (4, 0))
    }));
    assert_eq!((admission.places(), admission.threads()), (5, 4));
}
