//! All interleavings of a computation that many wait for: it is made once, nobody sleeps on
//! when it is over, and what was written meanwhile stays.
//!
//! A wait that nobody ends is a deadlock, which loom reports.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{
    Agent, Cache, Cause, Ending, Flight, Flights, Limits, Place, Policy, Question, Store, Terms,
};

const KEY: u64 = 7;
const LONG: Duration = Duration::from_secs(3600);

struct Number;

impl Question<u64> for Number {
    type Error = Infallible;

    fn tell(&self, key: &u64) -> Option<bool> {
        Some(*key == KEY)
    }

    fn copy(&self, key: &u64) -> u64 {
        *key
    }

    fn ask(&self, key: &u64) -> Result<bool, Infallible> {
        Ok(*key == KEY)
    }
}

type Call = Arc<Flight<u64, &'static str>>;

/// As the binding puts the parts together.
struct Loading {
    entries: Cache<u64, u64>,
    flights: Flights<u64, Call>,
    computed: AtomicUsize,
}

fn explore(model: fn(Arc<Loading>)) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let limits = Limits {
            max_weight: None,
            policy: Policy::Lru,
            idle: None,
        };
        model(Arc::new(Loading {
            entries: Cache::new(Store::new(limits)),
            flights: Flights::default(),
            computed: AtomicUsize::new(0),
        }));
    });
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn put(store: &mut Store<u64, u64>, hash: u64, place: Option<Place>, value: u64) {
    let pair = (KEY, value);
    store.put(hash, place, pair, 0, Terms::default(), &mut Vec::new());
}

impl Loading {
    fn peek(&self) -> Option<u64> {
        sure(self.entries.at(KEY, &Number, |store, _, place| {
            place.and_then(|place| store.peek(place, 0).copied())
        }))
    }

    fn keep(&self, value: u64, flight: &Call) {
        sure(self.entries.at(KEY, &Number, |store, hash, place| {
            if !flight.is_overruled() && place.is_none() {
                put(store, hash, place, value);
            }
        }));
    }

    fn change(&self, act: fn(&mut Store<u64, u64>, u64, Option<Place>)) {
        let is_done = sure(self.entries.at(KEY, &Number, |store, hash, place| {
            let is_free = !self.flights.are_any();
            if is_free {
                act(store, hash, place);
            }
            is_free
        }));
        if !is_done {
            for left in sure(self.flights.overrule_key(KEY, &Number)) {
                left.value.overrule();
            }
            sure(self.entries.at(KEY, &Number, act));
        }
    }

    fn write_nine(&self) {
        self.change(|store, hash, place| put(store, hash, place, 9));
    }

    fn remove(&self) {
        self.change(|store, _, place| {
            if let Some(place) = place {
                store.remove(place, Cause::Explicit, &mut Vec::new());
            }
        });
    }

    fn end(&self, flight: &Call, ending: Ending<u64>) {
        sure(
            self.flights
                .landed(KEY, &Number, |each| Arc::ptr_eq(each, flight)),
        );
        flight.end(ending);
    }

    /// The value; the first `failures` computations are given up.
    fn load(&self, value: u64, failures: usize) -> u64 {
        loop {
            if let Some(found) = self.peek() {
                return found;
            }
            let fresh = (KEY, Arc::new(Flight::new(Agent::here(0))));
            let (flight, is_mine) = sure(self.flights.board(KEY, &Number, &[], fresh, Arc::clone));
            if !is_mine {
                loop {
                    let ended = flight.look(|ending| match ending {
                        Ending::Value(value) => Some(*value),
                        Ending::Failed(_) | Ending::Abandoned => None,
                    });
                    match ended {
                        Some(Some(value)) => return value,
                        Some(None) => break,
                        None => flight.wait(LONG),
                    }
                }
                continue;
            }
            if let Some(found) = self.peek() {
                self.end(&flight, Ending::Value(found));
                return found;
            }
            if self.computed.fetch_add(1, Ordering::SeqCst) < failures {
                self.end(&flight, Ending::Abandoned);
                continue;
            }
            self.keep(value, &flight);
            self.end(&flight, Ending::Value(value));
            return value;
        }
    }
}

#[test]
fn a_value_is_computed_once_for_all_who_ask() {
    explore(|loading| {
        let others: Vec<_> = (1..=2)
            .map(|value| {
                let loading = Arc::clone(&loading);
                thread::spawn(move || loading.load(value, 0))
            })
            .collect();
        let found: Vec<u64> = others
            .into_iter()
            .map(|other| other.join().unwrap())
            .collect();
        assert_eq!(loading.computed.load(Ordering::SeqCst), 1);
        assert_eq!(found[0], found[1]);
        assert_eq!(loading.peek(), Some(found[0]));
    });
}

#[test]
fn who_waits_goes_on_where_another_gave_up() {
    explore(|loading| {
        let other = {
            let loading = Arc::clone(&loading);
            thread::spawn(move || loading.load(1, 1))
        };
        let mine = loading.load(2, 1);
        assert_eq!(other.join().unwrap(), mine);
        assert_eq!(loading.computed.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn what_is_written_meanwhile_stays() {
    explore(|loading| {
        let other = {
            let loading = Arc::clone(&loading);
            thread::spawn(move || loading.load(1, 0))
        };
        loading.write_nine();
        assert!([1, 9].contains(&other.join().unwrap()));
        assert_eq!(loading.peek(), Some(9));
        assert_eq!(loading.load(3, 0), 9);
    });
}

/// The value is computed from what was there when the computation began; what was there is
/// changed before the entry is removed.
#[test]
fn what_is_removed_meanwhile_is_computed_anew() {
    explore(|loading| {
        let source = Arc::new(AtomicUsize::new(1));
        let other = {
            let (loading, source) = (Arc::clone(&loading), Arc::clone(&source));
            thread::spawn(move || {
                let fresh = (KEY, Arc::new(Flight::new(Agent::here(0))));
                let (flight, _) = sure(loading.flights.board(KEY, &Number, &[], fresh, Arc::clone));
                assert_eq!(loading.peek(), None);
                let value = source.load(Ordering::SeqCst) as u64;
                loading.keep(value, &flight);
                loading.end(&flight, Ending::Value(value));
            })
        };
        source.store(2, Ordering::SeqCst);
        loading.remove();
        other.join().unwrap();
        assert_ne!(loading.peek(), Some(1));
    });
}

#[test]
fn a_bell_is_rung_or_given_back_and_never_both() {
    explore(|_| {
        let flight: Call = Arc::new(Flight::new(Agent::here(0)));
        let joined = flight.join("bell");
        let other = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || flight.end(Ending::Value(1)).len())
        };
        let back = usize::from(joined.is_ok_and(|number| flight.leave(number).is_some()));
        assert_eq!(back + other.join().unwrap(), 1);
        assert!(flight.join("late").is_err());
    });
}
