//! What a pool was asked to do.

use std::time::Duration;

use super::rotation::Order;

/// A pool's settings, once they are known to make sense.
#[derive(Clone, Debug)]
pub struct Rules {
    pub min_size: usize,
    pub max_size: usize,
    /// Callers that may wait at once; zero is no limit.
    pub max_waiting: usize,
    /// A connection idle for longer is closed, as long as more than `min_size` exist.
    pub max_idle: Option<Duration>,
    /// An older connection is replaced.
    pub max_lifetime: Option<Duration>,
    /// By up to this share of `max_lifetime` it is cut, so that connections made
    /// together do not end together.
    pub lifetime_jitter: f64,
    /// A connection used so often is replaced.
    pub max_uses: Option<u64>,
    /// Connections are checked before they are handed out.
    pub checks: bool,
    /// A connection out for longer is reported.
    pub leak_limit: Option<Duration>,
    /// After a failed attempt to connect the next one waits so long, twice as long
    /// each time, up to the longest.
    pub reconnect_delay: Duration,
    pub reconnect_longest: Duration,
    /// Failures for so long are reported.
    pub reconnect_timeout: Option<Duration>,
    pub order: Order,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_size: 0,
            max_size: 10,
            max_waiting: 0,
            max_idle: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(3600)),
            lifetime_jitter: 0.1,
            max_uses: None,
            checks: false,
            leak_limit: None,
            reconnect_delay: Duration::from_millis(100),
            reconnect_longest: Duration::from_secs(5),
            reconnect_timeout: Some(Duration::from_secs(300)),
            order: Order::Lifo,
        }
    }
}
