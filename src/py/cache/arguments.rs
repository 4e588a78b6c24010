//! Numbers as users give them, checked.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use crate::core::cache::{NEVER, Nanos};

/// How often a wait looks for signals, such as Ctrl-C.
pub(super) const SIGNAL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(50);

const NANOS: f64 = 1e9;

/// A length of time; what is endless is [`NEVER`].
pub(super) fn duration(name: &str, seconds: f64) -> PyResult<Nanos> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "{name} must be a number of seconds of at least 0, got {seconds}"
        )));
    }
    Ok(nanos(seconds))
}

/// What is too long saturates, at [`NEVER`].
#[allow(clippy::cast_sign_loss)]
fn nanos(seconds: f64) -> Nanos {
    (seconds * NANOS) as Nanos
}

/// What a user's clock says.
pub(super) fn moment(seconds: f64) -> PyResult<Nanos> {
    if !seconds.is_finite() {
        return Err(PyValueError::new_err(format!(
            "timer must return a finite number of seconds, got {seconds}"
        )));
    }
    // The last moment there is stays for what never comes.
    Ok(nanos(seconds).min(NEVER - 1))
}

pub(super) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / NANOS
}

/// Far more than there is memory, and far less than what sums could not hold.
pub(super) const HEAVIEST: u64 = 1 << 48;

/// A weight that a weigher returned.
pub(super) fn weight(given: &Bound<'_, PyAny>) -> PyResult<u64> {
    if let Ok(weight) = given.extract::<u64>()
        && weight <= HEAVIEST
    {
        return Ok(weight);
    }
    let shown = given.repr()?;
    if given.is_instance_of::<PyInt>() {
        return Err(PyValueError::new_err(format!(
            "an entry's weight must be at least 0 and at most 2**48, got {shown}"
        )));
    }
    Err(PyTypeError::new_err(format!(
        "an entry's weight must be an integer, got {shown}"
    )))
}

/// Tags: texts, of which one alone may stand for itself.
pub(super) fn tags(given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return Ok(Vec::new());
    };
    if let Ok(tag) = given.cast::<PyString>() {
        return Ok(vec![tag.to_string_lossy().into_owned()]);
    }
    let mut tags = Vec::new();
    for tag in given.try_iter()? {
        let tag = tag?;
        let Ok(text) = tag.cast::<PyString>() else {
            let shown = tag.repr()?;
            return Err(PyTypeError::new_err(format!(
                "tags must be strings, got {shown}"
            )));
        };
        tags.push(text.to_str()?.to_owned());
    }
    Ok(tags)
}

/// How keys begin.
pub(super) enum Prefix<'py> {
    Text(Bound<'py, PyString>),
    Bytes(Bound<'py, PyBytes>),
}

impl<'py> Prefix<'py> {
    pub(super) fn new(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = given.cast::<PyString>() {
            return Ok(Self::Text(text.clone()));
        }
        if let Ok(bytes) = given.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        let shown = given.repr()?;
        Err(PyTypeError::new_err(format!(
            "a prefix must be a string or bytes, got {shown}"
        )))
    }

    /// Whether a key begins so; runs no Python code.
    pub(super) fn fits(&self, key: &Bound<'_, PyAny>) -> bool {
        match self {
            Self::Bytes(prefix) => key
                .cast::<PyBytes>()
                .is_ok_and(|key| key.as_bytes().starts_with(prefix.as_bytes())),
            Self::Text(prefix) => key.cast::<PyString>().is_ok_and(|key| {
                // SAFETY: attached, and both are strings; their characters are compared.
                let fits = unsafe {
                    pyo3::ffi::PyUnicode_Tailmatch(
                        key.as_ptr(),
                        prefix.as_ptr(),
                        0,
                        pyo3::ffi::PY_SSIZE_T_MAX,
                        -1,
                    )
                };
                if fits < 0 {
                    drop(PyErr::take(key.py()));
                }
                fits == 1
            }),
        }
    }
}
