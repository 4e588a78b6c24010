use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Entry, Grant, Identity, Order, Rotation, Waiter};

impl Identity for usize {
    fn key(&self) -> usize {
        *self
    }
}

const SOON: Duration = Duration::from_secs(20);

/// The item that is handed out at once.
fn take(rotation: &Rotation<usize>) -> Option<Grant<usize>> {
    match rotation.enter(false, None) {
        Entry::Granted(grant) => Some(grant),
        _ => None,
    }
}

fn queue(rotation: &Rotation<usize>) -> Arc<Waiter<Grant<usize>>> {
    match rotation.enter(true, None) {
        Entry::Queued(waiter) => waiter,
        _ => panic!("there was something to be had"),
    }
}

/// A rotation with these items idle.
fn filled(max: usize, order: Order, items: &[usize]) -> Rotation<usize> {
    let rotation = Rotation::new(max, max, order);
    for _ in items {
        assert_eq!(take(&rotation), Some(Grant::Permit));
    }
    for &item in items {
        assert_eq!(rotation.release(item).unwrap(), None);
    }
    rotation
}

#[test]
fn the_order_says_which_idle_item_is_next() {
    assert_eq!(take(&filled(2, Order::Fifo, &[1, 2])), Some(Grant::Item(1)));
    assert_eq!(take(&filled(2, Order::Lifo, &[1, 2])), Some(Grant::Item(2)));
}

#[test]
fn what_is_returned_goes_to_the_first_who_waits() {
    let rotation = filled(1, Order::Fifo, &[1]);
    take(&rotation);
    let (first, second) = (queue(&rotation), queue(&rotation));
    rotation.release(1).unwrap();
    assert_eq!(second.take(), None);
    assert_eq!(first.take(), Some(Grant::Item(1)));
    assert!(rotation.forfeit(Some(1)));
    assert_eq!(second.take(), Some(Grant::Permit));
}

#[test]
fn one_who_gives_up_gets_what_it_had_been_given() {
    let rotation = filled(1, Order::Fifo, &[1]);
    take(&rotation);
    let (first, second) = (queue(&rotation), queue(&rotation));
    assert_eq!(rotation.give_up(&first), None);
    rotation.release(1).unwrap();
    assert_eq!(rotation.give_up(&second), Some(Grant::Item(1)));
    assert_eq!(rotation.give_up(&second), None);
}

#[test]
fn a_foreign_or_returned_item_changes_nothing() {
    let rotation = filled(3, Order::Fifo, &[1, 2]);
    let before = rotation.counts();
    assert_eq!(rotation.release(1).unwrap_err().0, 1);
    assert_eq!(rotation.release(9).unwrap_err().0, 9);
    assert!(!rotation.forfeit(Some(1)) && !rotation.forfeit(None));
    assert_eq!(rotation.counts(), before);
    // Nor while a permit is out, which a new item could use up.
    let rotation = filled(3, Order::Lifo, &[1, 2]);
    assert_eq!(take(&rotation), Some(Grant::Item(2)));
    assert_eq!(take(&rotation), Some(Grant::Item(1)));
    assert_eq!(take(&rotation), Some(Grant::Permit));
    rotation.release(1).unwrap();
    assert!(rotation.release(1).is_err());
    assert_eq!(rotation.release(3).unwrap(), None);
}

#[test]
fn what_has_no_place_any_more_comes_back() {
    let rotation = filled(3, Order::Fifo, &[1, 2, 3]);
    take(&rotation);
    assert_eq!(rotation.resize(1, 1), [2, 3]);
    let waiter = queue(&rotation);
    assert_eq!(rotation.release(1).unwrap(), None);
    assert_eq!(waiter.take(), Some(Grant::Item(1)));

    let rotation = Rotation::new(2, 1, Order::Fifo);
    assert_eq!(take(&rotation), Some(Grant::Permit));
    assert_eq!(take(&rotation), Some(Grant::Permit));
    assert_eq!(rotation.release(1).unwrap(), None);
    assert_eq!(rotation.release(2).unwrap(), Some(2), "one may be idle");
}

#[test]
fn the_place_of_one_that_is_too_many_is_taken_until_it_is_forfeited() {
    let rotation = Rotation::new(2, 1, Order::Fifo);
    take(&rotation);
    take(&rotation);
    rotation.release(1).unwrap();
    assert_eq!(rotation.release(2).unwrap(), Some(2));
    // It is being closed; somebody takes the other, and one more has to wait.
    assert_eq!(take(&rotation), Some(Grant::Item(1)));
    let waiter = queue(&rotation);
    assert_eq!(waiter.take(), None);
    assert!(rotation.forfeit(Some(2)));
    assert_eq!(waiter.take(), Some(Grant::Permit));
}

#[test]
fn more_room_is_for_those_who_wait() {
    let rotation = filled(1, Order::Fifo, &[1]);
    take(&rotation);
    let (first, second) = (queue(&rotation), queue(&rotation));
    rotation.resize(2, 2);
    assert_eq!((first.take(), second.take()), (Some(Grant::Permit), None));
}

#[test]
fn threads_take_turns_and_lose_nothing() {
    let rotation = Rotation::new(2, 2, Order::Fifo);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let rotation = &rotation;
            scope.spawn(move || {
                for turn in 0..300 {
                    match rotation.acquire(SOON) {
                        Some(Grant::Item(item)) if turn % 50 == 49 => {
                            assert!(rotation.forfeit(Some(item)));
                        }
                        Some(Grant::Item(item)) => assert!(rotation.release(item).is_ok()),
                        Some(Grant::Permit) if turn % 3 == 0 => assert!(rotation.forfeit(None)),
                        Some(Grant::Permit) => {
                            assert!(rotation.release(1000 * number + turn).is_ok());
                        }
                        None => panic!("nobody was served"),
                    }
                }
            });
        }
    });
    let counts = rotation.counts();
    assert_eq!((counts.in_use, counts.waiting), (0, 0));
    assert_eq!(counts.acquired, counts.released + counts.forfeited);
}

#[derive(Clone, Debug)]
enum Step {
    Enter,
    Release(usize),
    ReleaseNew,
    Forfeit(usize),
    ForfeitPermit,
    GiveUp(usize),
    Resize(usize, usize),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Enter),
        3 => (0..8_usize).prop_map(Step::Release),
        3 => Just(Step::ReleaseNew),
        1 => (0..8_usize).prop_map(Step::Forfeit),
        1 => Just(Step::ForfeitPermit),
        1 => (0..8_usize).prop_map(Step::GiveUp),
        1 => (1..5_usize, 0..5_usize).prop_map(|(size, idle)| Step::Resize(size, idle)),
        1 => Just(Step::Drain),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// However it is used: nothing is handed out twice or lost, the bounds hold, and
    /// nobody waits while something is to be had.
    #[test]
    fn counts_add_up_and_nobody_waits_in_vain(steps in steps(), lifo in any::<bool>()) {
        let order = if lifo { Order::Lifo } else { Order::Fifo };
        let (mut max, mut max_idle) = (3, 3);
        let rotation = Rotation::new(max, max_idle, order);
        let mut out: Vec<usize> = Vec::new();
        let mut permits = 0;
        let mut line: Vec<Arc<Waiter<Grant<usize>>>> = Vec::new();
        let mut alive = HashSet::new();
        let mut made = 0;
        for step in steps {
            let mut granted = Vec::new();
            match step {
                Step::Enter => match rotation.enter(true, None) {
                    Entry::Granted(grant) => {
                        prop_assert!(line.is_empty(), "overtaken");
                        granted.push(grant);
                    }
                    Entry::Queued(waiter) => line.push(waiter),
                    Entry::Unavailable => unreachable!(),
                },
                Step::Release(which) if !out.is_empty() => {
                    let item = out.remove(which % out.len());
                    if let Some(surplus) = rotation.release(item).unwrap() {
                        prop_assert!(alive.remove(&surplus));
                        prop_assert!(rotation.forfeit(Some(surplus)));
                    }
                }
                Step::ReleaseNew if permits > 0 => {
                    permits -= 1;
                    made += 1;
                    alive.insert(made);
                    if let Some(surplus) = rotation.release(made).unwrap() {
                        prop_assert!(alive.remove(&surplus));
                        prop_assert!(rotation.forfeit(Some(surplus)));
                    }
                }
                Step::Forfeit(which) if !out.is_empty() => {
                    let item = out.remove(which % out.len());
                    alive.remove(&item);
                    prop_assert!(rotation.forfeit(Some(item)));
                }
                Step::ForfeitPermit if permits > 0 => {
                    permits -= 1;
                    prop_assert!(rotation.forfeit(None));
                }
                Step::GiveUp(which) if !line.is_empty() => {
                    let waiter = line.remove(which % line.len());
                    prop_assert!(rotation.give_up(&waiter).is_none());
                }
                Step::Resize(size, idle) => {
                    (max, max_idle) = (size, idle);
                    for surplus in rotation.resize(size, idle) {
                        prop_assert!(alive.remove(&surplus));
                    }
                }
                Step::Drain => {
                    for item in rotation.drain() {
                        prop_assert!(alive.remove(&item));
                    }
                }
                _ => {}
            }
            // Served in the order in which they came.
            while let Some(grant) = line.first().and_then(|waiter| waiter.take()) {
                line.remove(0);
                granted.push(grant);
            }
            prop_assert!(line.iter().all(|waiter| waiter.take().is_none()));
            for grant in granted {
                match grant {
                    Grant::Item(item) => {
                        prop_assert!(alive.contains(&item) && !out.contains(&item));
                        out.push(item);
                    }
                    Grant::Permit => permits += 1,
                }
            }
            let counts = rotation.counts();
            prop_assert_eq!(counts.in_use, out.len() + permits);
            prop_assert_eq!(counts.idle + out.len(), alive.len());
            prop_assert_eq!(counts.waiting, line.len());
            prop_assert!(counts.idle <= max_idle);
            if !line.is_empty() {
                prop_assert!(counts.idle == 0 && counts.in_use >= max);
            }
            let (acquired, back) = (counts.acquired, counts.released + counts.forfeited);
            prop_assert_eq!(acquired - back, counts.in_use as u64);
        }
    }
}
