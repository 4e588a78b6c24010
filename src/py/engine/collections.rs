//! How long garbage collections keep everybody waiting.

use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::core::locks::Mutex;
use crate::core::threads::paused;

static BEGAN: Mutex<Option<Instant>> = Mutex::new(None);

/// For `gc.callbacks`.
#[pyfunction(name = "_collection")]
pub(crate) fn collection(phase: &str, info: &Bound<'_, PyAny>) {
    let _ = info;
    let now = Instant::now();
    let mut began = BEGAN.lock();
    if phase == "start" {
        *began = Some(now);
    } else if let Some(began) = began.take() {
        paused(now.duration_since(began));
    }
}
