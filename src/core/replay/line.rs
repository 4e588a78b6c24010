//! Runs in one line, and the workers that take them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use super::random::Random;

/// A time in seconds that can be ordered; it is always a number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment(f64);

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Runs that ended in it.
    pub ended: u64,
    /// How long those took from arrival to end, together.
    pub response_seconds: f64,
    /// Those of them that took longer than they may.
    pub late: u64,
    /// For how long workers were busy in it, together.
    pub busy_seconds: f64,
}

/// A line of runs and its workers.
pub struct Line {
    service_seconds: f64,
    variability: f64,
    allowed_seconds: f64,
    arrivals: Random,
    services: Random,
    /// When each worker is free.
    free_at: BinaryHeap<Reverse<Moment>>,
    /// When runs that no worker has taken arrived, and what they take.
    waiting: VecDeque<(f64, f64)>,
    /// When runs that a worker has will end, and when they arrived.
    under_way: BinaryHeap<Reverse<(Moment, Moment)>>,
    responses: Vec<f32>,
}

impl Line {
    /// Service times have this mean and squared coefficient of variation.
    pub fn new(
        workers: usize,
        service_seconds: f64,
        variability: f64,
        allowed_seconds: f64,
        seed: u64,
    ) -> Self {
        Self {
            service_seconds,
            variability,
            allowed_seconds,
            // Apart, so that the same runs come whatever their service times are.
            arrivals: Random::new(seed),
            services: Random::new(!seed),
            free_at: std::iter::repeat_n(Reverse(Moment(0.0)), workers.max(1)).collect(),
            waiting: VecDeque::new(),
            under_way: BinaryHeap::new(),
            responses: Vec::new(),
        }
    }

    /// Changes the number of workers; new ones are there from `now` on. Whoever
    /// is free first goes first: those that are busy end what they do.
    pub fn resize(&mut self, workers: usize, now: f64) {
        let workers = workers.max(1);
        while self.free_at.len() < workers {
            self.free_at.push(Reverse(Moment(now)));
        }
        while self.free_at.len() > workers {
            self.free_at.pop();
        }
    }

    /// Goes on from one moment to another, between which so many runs arrive.
    pub fn advance(&mut self, start: f64, end: f64, runs: u64) -> Tally {
        self.arrive(start, end, runs);
        let carried = self.under_way.iter();
        let mut tally = Tally {
            busy_seconds: carried
                .map(|Reverse((done, _))| done.0.min(end) - start)
                .sum(),
            ..Tally::default()
        };
        while let Some(&(arrival, service)) = self.waiting.front() {
            let Some(mut worker) = self.free_at.peek_mut() else {
                break;
            };
            let begin = arrival.max(worker.0.0);
            // A change of the workers concerns all that wait then.
            if begin >= end {
                break;
            }
            let done = begin + service;
            worker.0 = Moment(done);
            drop(worker);
            self.waiting.pop_front();
            self.under_way
                .push(Reverse((Moment(done), Moment(arrival))));
            tally.busy_seconds += done.min(end) - begin;
        }
        while let Some(Reverse((done, arrival))) = self.under_way.peek().copied() {
            if done.0 > end {
                break;
            }
            self.under_way.pop();
            let response = done.0 - arrival.0;
            tally.ended += 1;
            tally.response_seconds += response;
            tally.late += u64::from(response > self.allowed_seconds);
            self.responses.push(response as f32);
        }
        tally
    }

    /// As many as arrive in this time at random moments of it, in their order.
    fn arrive(&mut self, start: f64, end: f64, runs: u64) {
        // Of n + 1 exponential gaps the first n are between uniform moments.
        let gaps: Vec<f64> = (0..=runs).map(|_| self.arrivals.exponential()).collect();
        let scale = (end - start) / gaps.iter().sum::<f64>();
        let mut moment = start;
        for gap in &gaps[..gaps.len() - 1] {
            moment += gap * scale;
            let service = self.service_seconds * self.services.gamma(self.variability);
            self.waiting.push_back((moment, service));
        }
    }

    /// Has all that wait or are under way end, with the workers that there are.
    pub fn finish(&mut self, now: f64) -> Tally {
        self.advance(now, f64::INFINITY, 0)
    }

    /// Runs that no worker has taken.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Seconds that this share of the runs that have ended did not exceed; 0 without any.
    pub fn quantile(&mut self, share: f64) -> f64 {
        let count = self.responses.len();
        if count == 0 {
            return 0.0;
        }
        let rank = (share * count as f64).ceil().max(1.0);
        // At least one.
        #[allow(clippy::cast_sign_loss)]
        let place = (rank as usize).min(count) - 1;
        let (_, value, _) = self.responses.select_nth_unstable_by(place, f32::total_cmp);
        f64::from(*value)
    }
}
