//! A pool's settings and figures, as dicts.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::connections::{Counters, Gauges, Order, Rules};

fn duration(dict: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Duration>> {
    let seconds: Option<f64> = item(dict, name)?;
    // Longer than can be expressed is no limit.
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

fn item<'py, V>(dict: &Bound<'py, PyDict>, name: &str) -> PyResult<V>
where
    V: for<'a> FromPyObject<'a, 'py>,
{
    let value = dict
        .get_item(name)?
        .ok_or_else(|| pyo3::exceptions::PyKeyError::new_err(name.to_owned()))?;
    value.extract().map_err(Into::into)
}

pub(super) fn rules_from_dict(rules: &Bound<'_, PyDict>) -> PyResult<Rules> {
    let order: String = item(rules, "order")?;
    let delay = |name| duration(rules, name).map(|delay| delay.unwrap_or(Duration::MAX));
    Ok(Rules {
        min_size: item(rules, "min_size")?,
        max_size: item(rules, "max_size")?,
        max_waiting: item(rules, "max_waiting")?,
        max_idle: duration(rules, "max_idle")?,
        max_lifetime: duration(rules, "max_lifetime")?,
        lifetime_jitter: item(rules, "lifetime_jitter")?,
        max_uses: item(rules, "max_uses")?,
        checks: item(rules, "checks")?,
        leak_limit: duration(rules, "leak_limit")?,
        reconnect_delay: delay("reconnect_delay")?,
        reconnect_longest: delay("reconnect_max_delay")?,
        reconnect_timeout: duration(rules, "reconnect_timeout")?,
        order: if order == "fifo" {
            Order::Fifo
        } else {
            Order::Lifo
        },
    })
}

pub(super) fn gauges_dict<'py>(py: Python<'py>, gauges: &Gauges) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("min_size", gauges.min_size)?;
    dict.set_item("max_size", gauges.max_size)?;
    dict.set_item("size", gauges.size)?;
    dict.set_item("idle", gauges.idle)?;
    dict.set_item("in_use", gauges.in_use)?;
    dict.set_item("tended", gauges.tended)?;
    dict.set_item("connecting", gauges.connecting)?;
    dict.set_item("waiting", gauges.waiting)?;
    Ok(dict)
}

pub(super) fn counters_dict<'py>(
    py: Python<'py>,
    counters: &Counters,
) -> PyResult<Bound<'py, PyDict>> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let dict = PyDict::new(py);
    dict.set_item("requests_num", counters.requests)?;
    dict.set_item("requests_queued", counters.queued)?;
    dict.set_item("requests_wait_ms", millis(counters.wait))?;
    dict.set_item("requests_errors", counters.errors)?;
    dict.set_item("requests_cancelled", counters.cancelled)?;
    dict.set_item("usage_ms", millis(counters.usage))?;
    dict.set_item("returns_bad", counters.returns_bad)?;
    dict.set_item("returns_dropped", counters.returns_dropped)?;
    dict.set_item("connections_num", counters.attempts)?;
    dict.set_item("connections_ms", millis(counters.connecting))?;
    dict.set_item("connections_errors", counters.failures)?;
    dict.set_item("connections_lost", counters.lost)?;
    dict.set_item("connections_closed", counters.closed)?;
    dict.set_item("leaks", counters.leaks)?;
    Ok(dict)
}
