//! The threads of a pool, with connections that are numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::core::locks::{Condvar, Mutex};
use crate::core::testing::eventually;

use super::{Asked, Attendant, Condition, Crew, Handed, Lease, Pool, Quit, Rules, Task};

type Subject = Pool<usize, &'static str>;

/// A server that may be away, or may not answer.
#[derive(Default)]
struct Server {
    begun: AtomicUsize,
    made: AtomicUsize,
    closed: AtomicUsize,
    closing_hangs: AtomicBool,
    is_down: AtomicBool,
    hangs: Mutex<bool>,
    answers: Condvar,
}

impl Server {
    fn hang(&self, hangs: bool) {
        *self.hangs.lock() = hangs;
        self.answers.notify_all();
    }

    fn answer(&self) {
        let mut hangs = self.hangs.lock();
        while *hangs {
            hangs = self.answers.wait(hangs);
        }
    }
}

impl Attendant<usize, &'static str> for Server {
    fn attend(&self, pool: &Arc<Subject>, task: Task<usize>) {
        let began = Instant::now();
        match task {
            Task::Connect(ticket) => {
                self.begun.fetch_add(1, Ordering::Relaxed);
                self.answer();
                let (took, now) = (began.elapsed(), Instant::now());
                if self.is_down.load(Ordering::Relaxed) {
                    pool.failed(ticket, "down", took, now);
                } else {
                    let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
                    pool.connected(ticket, number, took, now)
                        .expect("it is new");
                }
            }
            Task::Check(ticket, number) => {
                let is_good = !self.is_down.load(Ordering::Relaxed);
                pool.checked(ticket, number, is_good, Instant::now());
            }
            Task::Reset(ticket, number) => pool.was_reset(ticket, number, true, Instant::now()),
            Task::Close(_) => {
                while self.closing_hangs.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                self.closed.fetch_add(1, Ordering::Relaxed);
                pool.done();
            }
            _ => pool.done(),
        }
    }
}

fn pool_of(server: &Arc<Server>, rules: Rules) -> Arc<Subject> {
    let crew = Crew::new(2, "test".into(), Arc::clone(server));
    let pool = Pool::new(rules, 0, 3, Box::new(crew));
    pool.start(Instant::now());
    pool
}

fn get(pool: &Arc<Subject>, limit: Duration) -> Option<(Lease, usize)> {
    match pool.ask(Instant::now(), false, None, |number| *number) {
        Ok(Asked::Lent(lease, number)) => Some((lease, number)),
        Ok(Asked::Queued(waiter)) => {
            let handed = waiter
                .park(limit)
                .or_else(|| pool.give_up(&waiter, Quit::TimedOut, Instant::now()));
            match handed? {
                Handed::Lease(lease) => {
                    let number = pool.view(lease, None, |number| *number);
                    Some((lease, number.expect("the lease holds")))
                }
                Handed::Closed => None,
            }
        }
        Err(_) => None,
    }
}

fn give(pool: &Arc<Subject>, lease: Lease, condition: Condition) {
    assert!(
        pool.give_back(lease, condition, Instant::now(), |_| ())
            .is_some()
    );
}

const SOON: Duration = Duration::from_secs(20);

fn fast() -> Rules {
    Rules {
        max_size: 3,
        reconnect_delay: Duration::from_millis(1),
        reconnect_longest: Duration::from_millis(5),
        ..Rules::default()
    }
}

#[test]
fn threads_share_few_connections_and_lose_none() {
    for checks in [false, true] {
        let server = Arc::new(Server::default());
        let pool = pool_of(&server, Rules { checks, ..fast() });
        let users: HashMap<usize, AtomicUsize> =
            (1..2000).map(|n| (n, AtomicUsize::new(0))).collect();
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (pool, users) = (&pool, &users);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let limit = if (turn + thread) % 7 == 0 {
                            Duration::from_micros(20)
                        } else {
                            SOON
                        };
                        let Some((lease, number)) = get(pool, limit) else {
                            continue;
                        };
                        assert_eq!(users[&number].fetch_add(1, Ordering::AcqRel), 0, "with two");
                        users[&number].fetch_sub(1, Ordering::AcqRel);
                        let condition = if turn % 50 == 49 {
                            Condition::Broken
                        } else {
                            Condition::Good
                        };
                        give(pool, lease, condition);
                    }
                });
            }
        });
        pool.close(Instant::now());
        eventually("all are closed", || {
            server.made.load(Ordering::Relaxed) == server.closed.load(Ordering::Relaxed)
        });
        assert_eq!(pool.gauges().size, 0);
    }
}

#[test]
fn the_pool_fills_again_after_the_server_was_away() {
    let server = Arc::new(Server::default());
    let pool = pool_of(
        &server,
        Rules {
            min_size: 3,
            ..fast()
        },
    );
    eventually("it is full", || pool.gauges().idle == 3);
    server.is_down.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let (lease, _) = get(&pool, SOON).expect("one is idle");
        give(&pool, lease, Condition::Broken);
    }
    assert!(get(&pool, Duration::from_millis(20)).is_none());
    server.is_down.store(false, Ordering::Relaxed);
    eventually("it is full again", || pool.gauges().idle == 3);
    pool.close(Instant::now());
}

#[test]
fn a_server_that_hangs_keeps_nobody_longer_than_they_wait() {
    let server = Arc::new(Server::default());
    server.hang(true);
    let pool = pool_of(&server, fast());
    assert!(get(&pool, Duration::from_millis(10)).is_none());
    assert_eq!(pool.gauges().connecting, 1);
    assert_eq!(pool.gauges().waiting, 0);
    server.hang(false);
    assert!(get(&pool, SOON).is_some());
    pool.close(Instant::now());
}

#[test]
fn a_pool_that_was_closed_lets_its_threads_go() {
    let server = Arc::new(Server::default());
    let pool = pool_of(
        &server,
        Rules {
            min_size: 2,
            ..fast()
        },
    );
    eventually("it is full", || pool.gauges().idle == 2);
    pool.close(Instant::now());
    eventually("only this test has it", || Arc::strong_count(&pool) == 1);
    assert_eq!(server.closed.load(Ordering::Relaxed), 2);
}

#[test]
fn one_call_has_as_many_threads_come_as_there_are_tasks_and_may_be() {
    let server = Arc::new(Server::default());
    server.hang(true);
    let rules = Rules {
        min_size: 3,
        ..fast()
    };
    let pool = pool_of(&server, rules);
    eventually("both threads connect", || {
        server.begun.load(Ordering::Relaxed) == 2
    });
    server.hang(false);
    eventually("it is full", || pool.gauges().idle == 3);
    pool.close(Instant::now());
}

#[test]
fn one_thread_looks_at_the_clock_however_long_that_takes_while_another_is_stuck() {
    let server = Arc::new(Server::default());
    // Longer than a thread without work stays.
    let rules = Rules {
        max_idle: Some(Duration::from_secs(7)),
        ..fast()
    };
    let pool = pool_of(&server, rules);
    let (stuck, _) = get(&pool, SOON).expect("there is a place");
    let (other, _) = get(&pool, SOON).expect("there is another");
    server.closing_hangs.store(true, Ordering::Relaxed);
    give(&pool, stuck, Condition::Broken);
    give(&pool, other, Condition::Good);
    assert_eq!(pool.gauges().idle, 1);
    eventually("it was idle for long enough", || pool.gauges().idle == 0);
    server.closing_hangs.store(false, Ordering::Relaxed);
    pool.close(Instant::now());
}
