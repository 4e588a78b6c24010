//! What is known of other sizes, for Python.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::core::cache::{Estimate, Report};

/// Size, hit ratio and margin.
fn triple(estimate: &Estimate) -> (u64, f64, f64) {
    (estimate.size, estimate.hit_ratio, estimate.margin)
}

pub(super) fn as_dict<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("requests", report.requests)?;
    dict.set_item("samples", report.samples)?;
    dict.set_item("sampling_rate", report.share)?;
    dict.set_item("hit_ratio", report.hit_ratio)?;
    dict.set_item("half", triple(&report.half))?;
    dict.set_item("twice", triple(&report.twice))?;
    dict.set_item("lru", report.lru.iter().map(triple).collect::<Vec<_>>())?;
    Ok(dict)
}
