//! What is looked at in a node's output once it has run.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

use crate::py::values::{Verdict, is_json_serializable, output_is_clean};

/// What consumers of an output need to know of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The node has not run yet.
    Pending = 0,
    /// An exact dict that stock would map without a warning.
    Clean = 1,
    /// Anything else: stock's own function assembles the consumers' inputs.
    AskStock = 2,
    /// The node was skipped; its output is `None`.
    Skipped = 3,
    /// The node failed; its output is the record of the failure.
    Failed = 4,
}

impl Kind {
    pub(super) fn of(output: &Bound<'_, PyAny>) -> Self {
        let Ok(dict) = output.cast_exact::<PyDict>() else {
            return Self::AskStock;
        };
        if has(dict, intern!(dict.py(), "failed")) || !output_is_clean(dict) {
            Self::AskStock
        } else {
            Self::Clean
        }
    }

    pub(super) fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Clean,
            2 => Self::AskStock,
            3 => Self::Skipped,
            4 => Self::Failed,
            _ => Self::Pending,
        }
    }
}

fn has(dict: &Bound<'_, PyDict>, key: &Bound<'_, pyo3::types::PyString>) -> bool {
    // SAFETY: attached; an exact dict and a str, so no user code can run. An
    // error cannot occur with a str key.
    unsafe { ffi::PyDict_Contains(dict.as_ptr(), key.as_ptr()) == 1 }
}

/// Whether `kailash.runtime.local.detect_success` has to be asked.
pub(super) fn may_report_failure(output: &Bound<'_, PyAny>) -> bool {
    match output.cast_exact::<PyDict>() {
        Ok(dict) => has(dict, intern!(dict.py(), "success")),
        Err(_) => output.is_instance_of::<PyDict>(),
    }
}

/// Whether an output, or the result in it, says that its node failed.
pub(super) fn reports_failure(output: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = output.py();
    let Ok(dict) = output.cast::<PyDict>() else {
        return Ok(false);
    };
    if let Some(success) = dict.get_item(intern!(py, "success"))? {
        return Ok(!success.is_truthy()?);
    }
    let result = dict.get_item(intern!(py, "result"))?;
    let Some(Ok(result)) = result.map(Bound::cast_into::<PyDict>) else {
        return Ok(false);
    };
    match result.get_item(intern!(py, "success"))? {
        Some(success) => Ok(!success.is_truthy()?),
        None => Ok(false),
    }
}

/// Whether every value of an output is surely JSON-serialisable.
pub(super) fn all_serializable(outputs: &Bound<'_, PyDict>) -> bool {
    outputs
        .iter()
        .all(|(_, value)| is_json_serializable(&value) == Verdict::Yes)
}
