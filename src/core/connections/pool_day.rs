//! Twenty-four hours in a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool_bench::{Bench, bounded, secs};
use super::{Asked, Condition, Handed, Lease, Rules, Waiter};

/// A day of use by bursts, with quiet hours and two times without a server.
#[test]
fn a_day_in_a_moment() {
    for on_a_loop in [false, true] {
        spend_a_day(on_a_loop);
    }
}

fn spend_a_day(on_a_loop: bool) {
    const STEP: Duration = Duration::from_secs(7);
    let (lifetime, idle_time) = (secs(3600), secs(600));
    let mut bench = Bench::driven(
        Rules {
            max_idle: Some(idle_time),
            max_lifetime: Some(lifetime),
            leak_limit: Some(secs(300)),
            ..bounded(2, 8)
        },
        on_a_loop,
    );
    let began = bench.now;
    let mut born = std::collections::HashMap::new();
    let mut out: Vec<(Lease, Instant)> = Vec::new();
    let mut line: Vec<Arc<Waiter<Handed>>> = Vec::new();
    let (mut dice, mut served, mut largest) = (0x2545_f491_u64, 0_u32, 0);
    let mut roll = move |most: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % most
    };
    while bench.now < began + secs(24 * 3600) {
        let hour = (bench.now - began).as_secs() / 3600;
        bench.is_down = matches!(hour, 5 | 14) && (bench.now - began).as_secs() % 3600 < 900;
        let busy = hour % 4 != 3;
        let callers = if busy && line.len() < 20 { roll(8) } else { 0 };
        for _ in 0..callers {
            match bench
                .pool
                .ask(bench.now, false, None, |connection| *connection)
            {
                Ok(Asked::Lent(lease, connection)) => {
                    let age = bench.now - *born.entry(connection).or_insert(bench.now);
                    assert!(age < lifetime, "{connection} is {age:?} old");
                    out.push((lease, bench.now + secs(roll(20))));
                    served += 1;
                }
                Ok(Asked::Queued(waiter)) => line.push(waiter),
                Err(refusal) => panic!("{refusal:?}"),
            }
            bench.settle();
        }
        line.retain(|waiter| match bench.handed(waiter) {
            None => true,
            Some((lease, connection)) => {
                let age = bench.now - *born.entry(connection).or_insert(bench.now);
                assert!(age < lifetime + secs(30), "{connection} is {age:?} old");
                out.push((lease, bench.now + secs(roll(20))));
                served += 1;
                false
            }
        });
        for (lease, until) in std::mem::take(&mut out) {
            if until <= bench.now {
                let is_broken = bench.is_down || roll(50) == 0;
                bench.give(
                    lease,
                    if is_broken {
                        Condition::Broken
                    } else {
                        Condition::Good
                    },
                );
            } else {
                out.push((lease, until));
            }
        }
        let gauges = bench.pool.gauges();
        assert!(gauges.size <= 8, "{gauges:?}");
        assert_eq!(gauges.idle + gauges.in_use + gauges.connecting, gauges.size);
        assert_eq!(bench.made - bench.closed.len(), gauges.idle + gauges.in_use);
        largest = largest.max(gauges.size);
        // An hour without callers, but for the time that they had.
        if hour % 4 == 3 && (bench.now - began).as_secs() % 3600 > 700 {
            assert_eq!(gauges.size, 2, "{gauges:?} at {:?}", bench.now - began);
        }
        bench.pass(STEP);
    }
    assert_eq!(largest, 8);
    assert!(served > 10_000, "{served}");
    assert!(bench.pool.counters().failures > 10);
    assert!(
        bench
            .reports
            .iter()
            .filter(|report| *report == "ReportFailures")
            .count()
            == 2
    );
    assert!(
        !bench
            .reports
            .iter()
            .any(|report| report.starts_with("ReportLeak"))
    );
    rest(bench, out);
}

/// At rest nothing is done more often than connections get old.
fn rest(mut bench: Bench, out: Vec<(Lease, Instant)>) {
    let attempts = bench.pool.counters().attempts;
    for (lease, _) in out {
        bench.give(lease, Condition::Good);
    }
    bench.pass(secs(7200));
    assert!(bench.pool.counters().attempts - attempts <= 6);
    assert_eq!(bench.pool.gauges().idle, 2);
}
