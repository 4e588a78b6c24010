//! How much an object takes, with what belongs to it.

use std::collections::HashSet;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyFunction, PyInt, PyList,
    PyModule, PySet, PyString, PyTuple, PyType,
};

/// What is larger than this is measured so far and no further.
const MOST_PARTS: usize = 10_000;

static GETSIZEOF: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What everybody shares belongs to nobody.
fn is_shared(part: &Bound<'_, PyAny>) -> bool {
    part.is_none()
        || part.is_instance_of::<PyBool>()
        || part.is_instance_of::<PyType>()
        || part.is_instance_of::<PyModule>()
        || part.is_instance_of::<PyFunction>()
}

fn is_leaf(part: &Bound<'_, PyAny>) -> bool {
    part.is_exact_instance_of::<PyString>()
        || part.is_exact_instance_of::<PyBytes>()
        || part.is_exact_instance_of::<PyInt>()
        || part.is_exact_instance_of::<PyFloat>()
        || part.is_exact_instance_of::<PyByteArray>()
}

/// The bytes of these objects and of what they consist of, as `sys.getsizeof` says:
/// the elements of lists, tuples, sets and dicts, and the attributes of instances. What is
/// met twice counts once; beyond ten thousand parts nothing more is counted.
pub(super) fn weigh<'py>(py: Python<'py>, whole: [&Bound<'py, PyAny>; 2]) -> PyResult<u64> {
    let getsizeof = GETSIZEOF
        .get_or_try_init(py, || {
            py.import("sys")?.getattr("getsizeof").map(Bound::unbind)
        })?
        .bind(py);
    let mut bytes = 0_u64;
    let mut parts: Vec<Bound<'py, PyAny>> = whole.into_iter().cloned().collect();
    // Held until the end, so that no address is met again for something else.
    let mut met: HashSet<usize> = HashSet::new();
    let mut held = Vec::new();
    while let Some(part) = parts.pop() {
        if is_shared(&part) || !met.insert(part.as_ptr() as usize) {
            continue;
        }
        bytes = bytes.saturating_add(getsizeof.call1((&part,))?.extract()?);
        if met.len() >= MOST_PARTS {
            break;
        }
        if !is_leaf(&part) {
            add_parts(&part, &mut parts)?;
        }
        held.push(part);
    }
    Ok(bytes)
}

fn add_parts<'py>(whole: &Bound<'py, PyAny>, parts: &mut Vec<Bound<'py, PyAny>>) -> PyResult<()> {
    if let Ok(list) = whole.cast::<PyList>() {
        parts.extend(list.iter().take(MOST_PARTS));
    } else if let Ok(tuple) = whole.cast::<PyTuple>() {
        parts.extend(tuple.iter().take(MOST_PARTS));
    } else if let Ok(dict) = whole.cast::<PyDict>() {
        // As lists: what runs meanwhile may change the dict.
        parts.extend(dict.keys().iter().take(MOST_PARTS));
        parts.extend(dict.values().iter().take(MOST_PARTS));
    } else if whole.is_instance_of::<PySet>() || whole.is_instance_of::<PyFrozenSet>() {
        let list = whole.py().get_type::<PyList>().call1((whole,))?;
        parts.extend(list.cast_into::<PyList>()?.iter().take(MOST_PARTS));
    } else if let Ok(attributes) = whole.getattr(intern!(whole.py(), "__dict__"))
        && attributes.is_exact_instance_of::<PyDict>()
    {
        parts.push(attributes);
    }
    Ok(())
}
