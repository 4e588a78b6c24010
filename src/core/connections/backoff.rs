//! Pauses between attempts to connect to a server that is away.

use std::time::{Duration, Instant};

use super::rules::Rules;

/// A small generator of numbers that only have to differ (xorshift).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to 1.
    pub(super) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
    since: Option<Instant>,
    until: Option<Instant>,
    was_reported: bool,
}

impl Backoff {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An attempt failed; whether it is time to say that they do so for long.
    pub(super) fn failed(&mut self, now: Instant, rules: &Rules, dice: &mut Dice) -> bool {
        let doubled = 1_u32 << self.failures.min(16);
        let pause = (rules.reconnect_delay * doubled).min(rules.reconnect_longest);
        // A quarter more or less, so that pools that lost their server together do
        // not come back together.
        self.until = now.checked_add(pause.mul_f64(0.75 + dice.roll() / 2.0));
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let is_late = rules
            .reconnect_timeout
            .is_some_and(|limit| now.saturating_duration_since(since) >= limit);
        is_late && !std::mem::replace(&mut self.was_reported, is_late)
    }

    /// While attempts fail there is one at a time, with pauses. Until when there is
    /// one, where now is too early.
    pub(super) fn hold(&self, now: Instant, connecting: usize) -> Hold {
        match self.until {
            Some(_) if connecting > 0 => Hold::Wait(None),
            Some(until) if until > now => Hold::Wait(Some(until)),
            None | Some(_) => Hold::Go,
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

pub(super) enum Hold {
    Go,
    /// Until then, or until the attempt that is under way ends.
    Wait(Option<Instant>),
}

/// The earlier of two moments, where there are any.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A moment after `start`; none where there is no limit, or the clock cannot
/// express it.
pub(super) fn after(start: Instant, limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| start.checked_add(limit))
}
