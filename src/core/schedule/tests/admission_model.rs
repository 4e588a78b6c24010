//! Random interleavings of runs that ask for places, leave the line and give
//! back, step by step beside a model of the line.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::core::locks::Mutex;
use crate::core::schedule::{Admission, Applicant, Place};

const APPLICANTS: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(Place),
    TakeOrWait(Place, usize),
    Leave(Place, usize),
    /// Of the places held, the one at this position.
    GiveBack(usize),
    /// To so many places and threads.
    Resize(usize, usize),
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Thread), Just(Place::Loop)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..APPLICANTS;
    let step = prop_oneof![
        2 => places().prop_map(Step::Take),
        6 => (places(), who.clone()).prop_map(|(place, who)| Step::TakeOrWait(place, who)),
        1 => (places(), who).prop_map(|(place, who)| Step::Leave(place, who)),
        5 => any::<usize>().prop_map(Step::GiveBack),
        1 => (1..6_usize, 1..6_usize).prop_map(|(places, threads)| Step::Resize(places, threads)),
    ];
    vec(step, 0..200)
}

type Given = Arc<Mutex<Vec<(usize, Place)>>>;

/// Every other one does not want the place any more when it is given one.
struct Numbered {
    number: usize,
    given: Given,
    refuses: Option<Arc<Admission>>,
}

impl Applicant for Numbered {
    fn admitted(&self, place: Place) {
        self.given.lock().push((self.number, place));
        if let Some(admission) = &self.refuses {
            admission.give_back(place);
        }
    }
}

struct Model {
    places: usize,
    threads: usize,
    /// Who waits for what.
    line: VecDeque<(usize, Place)>,
    held: Vec<Place>,
    given: Vec<(usize, Place)>,
}

impl Model {
    fn is_free(&self, place: Place) -> bool {
        let on_threads = self.held.iter().filter(|&&held| held == Place::Thread);
        self.held.len() < self.places && (place == Place::Loop || on_threads.count() < self.threads)
    }

    fn take(&mut self, place: Place) -> bool {
        let free = self.is_free(place);
        if free {
            self.held.push(place);
        }
        free
    }

    fn give_back(&mut self, place: Place) {
        self.vacate(place);
        self.admit();
    }

    fn resize(&mut self, places: usize, threads: usize) {
        (self.places, self.threads) = (places, threads);
        self.admit();
    }

    fn vacate(&mut self, place: Place) {
        let held = self.held.iter().position(|&held| held == place);
        self.held.swap_remove(held.expect("it is held"));
    }

    /// All for whom there is room come in before the first of them is told.
    fn admit(&mut self) {
        let mut told = 0;
        let mut admitted = self.let_in();
        while let Some(&(who, place)) = admitted.get(told) {
            told += 1;
            self.given.push((who, place));
            if refuses(who) {
                self.vacate(place);
                let next = self.let_in();
                admitted.extend(next);
            }
        }
    }

    fn let_in(&mut self) -> Vec<(usize, Place)> {
        let mut admitted = Vec::new();
        while let Some(at) = (0..self.line.len()).find(|&at| self.is_free(self.line[at].1)) {
            let (who, place) = self.line.remove(at).expect("it was found there");
            self.held.push(place);
            admitted.push((who, place));
        }
        admitted
    }
}

fn refuses(who: usize) -> bool {
    who % 2 == 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_line_agrees_with_a_model_at_every_step(
        (places, threads) in (1..5_usize, 1..5_usize),
        steps in steps(),
    ) {
        let admission = Arc::new(Admission::new(places, threads));
        let given = Given::default();
        let applicants: Vec<Arc<dyn Applicant>> = (0..APPLICANTS)
            .map(|number| {
                let refuses = refuses(number).then(|| Arc::clone(&admission));
                Arc::new(Numbered { number, given: Arc::clone(&given), refuses }) as _
            })
            .collect();
        let (line, held, log) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut model = Model { places, threads, line, held, given: log };
        for step in steps {
            match step {
                Step::Take(place) => {
                    prop_assert_eq!(admission.try_take(place), model.take(place));
                }
                // As runs do: one does not stand in line twice for the same.
                Step::TakeOrWait(place, who)
                    if model.line.iter().any(|&(other, its)| (other, its) == (who, place)) => {}
                Step::TakeOrWait(place, who) => {
                    let had = model.take(place);
                    prop_assert_eq!(admission.take_or_wait(place, &applicants[who]), had);
                    if !had {
                        model.line.push_back((who, place));
                    }
                }
                Step::Leave(place, who) => {
                    let at = model.line.iter().position(|&(other, its)| (other, its) == (who, place));
                    let left = at.and_then(|at| model.line.remove(at)).is_some();
                    prop_assert_eq!(admission.leave_line(place, &applicants[who]), left);
                }
                Step::GiveBack(_) if model.held.is_empty() => {}
                Step::GiveBack(pick) => {
                    let place = model.held[pick % model.held.len()];
                    admission.give_back(place);
                    model.give_back(place);
                }
                Step::Resize(places, threads) => {
                    admission.resize(places, threads);
                    model.resize(places, threads);
                    prop_assert_eq!((admission.places(), admission.threads()), (places, threads));
                }
            }
            prop_assert_eq!(&*given.lock(), &model.given);
            prop_assert_eq!(admission.occupancy(), (model.held.len(), model.line.len()));
            prop_assert_eq!(admission.is_contended(), !model.line.is_empty());
            let on_threads = model.held.iter().filter(|&&held| held == Place::Thread);
            prop_assert_eq!(admission.threads_taken(), on_threads.count());
            for (_, place) in &model.line {
                prop_assert!(!model.is_free(*place), "a free place and somebody who waits for it");
            }
        }
    }

    /// With one kind of place, whoever stands in line sees at most as many
    /// others served as stood before it, however often they come back.
    #[test]
    fn the_longest_wait_is_the_line_before(
        places in 1..4_usize,
        picks in vec((0..APPLICANTS, any::<usize>()), 1..300),
    ) {
        let admission = Arc::new(Admission::new(places, places));
        let given = Given::default();
        let applicants: Vec<Arc<dyn Applicant>> = (0..APPLICANTS)
            .map(|number| Arc::new(Numbered { number, given: Arc::clone(&given), refuses: None }) as _)
            .collect();
        let mut held = 0;
        // How many stood before each that waits, and how many were given places
        // when it came.
        let mut waiting: [Option<(usize, usize)>; APPLICANTS] = [None; APPLICANTS];
        for (who, pick) in picks {
            if waiting[who].is_none() {
                let before = admission.occupancy().1;
                if admission.take_or_wait(Place::Thread, &applicants[who]) {
                    held += 1;
                } else {
                    waiting[who] = Some((before, given.lock().len()));
                }
            }
            if pick % 2 == 0 && held > 0 {
                let so_far = given.lock().len();
                admission.give_back(Place::Thread);
                held -= 1;
                let log = given.lock();
                prop_assert!(log.len() <= so_far + 1);
                for &(number, _) in &log[so_far..] {
                    held += 1;
                    let (before, since) = waiting[number].take().expect("it waited");
                    prop_assert_eq!(so_far - since, before);
                }
            }
            prop_assert!(held <= places);
        }
    }
}
