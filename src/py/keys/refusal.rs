//! Why a value has no key, and where it was found.

use super::MAX_DEPTH;
use crate::py::errors;
use pyo3::{
    prelude::*,
    types::{PyBool, PyBytes, PyFloat, PyInt, PyString},
};
use std::borrow::Cow;

/// The outcome of a step of the walk.
pub(super) type Told = Result<(), Box<Refusal>>;

/// The end of a walk.
///
/// Where it happened is found out on the way back, so that a walk that succeeds
/// pays nothing for it.
pub(super) struct Refusal {
    why: Why,
    /// The way to the value, from the inside out.
    path: Vec<String>,
    /// The containers on that way, if it is too long, to see whether one
    /// contains itself.
    containers: Vec<(usize, String)>,
}

enum Why {
    NotKeyable {
        type_name: String,
        reason: Cow<'static, str>,
    },
    TooDeep {
        type_name: String,
    },
    Raised(PyErr),
}

impl From<PyErr> for Box<Refusal> {
    fn from(error: PyErr) -> Self {
        Refusal::new(Why::Raised(error))
    }
}

#[allow(
    clippy::unnecessary_box_returns,
    reason = "every step returns one, and the steps that succeed should not make room for it"
)]
impl Refusal {
    fn new(why: Why) -> Box<Self> {
        Box::new(Self {
            why,
            path: Vec::new(),
            containers: Vec::new(),
        })
    }

    #[cold]
    pub(super) fn of(value: &Bound<'_, PyAny>, reason: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::new(Why::NotKeyable {
            type_name: type_name(value),
            reason: reason.into(),
        })
    }

    #[cold]
    pub(super) fn too_deep(value: &Bound<'_, PyAny>) -> Box<Self> {
        Self::new(Why::TooDeep {
            type_name: type_name(value),
        })
    }

    /// The same, seen from a container of the value.
    #[cold]
    pub(super) fn inside(
        mut self: Box<Self>,
        container: &Bound<'_, PyAny>,
        segment: String,
    ) -> Box<Self> {
        self.path.push(segment);
        if matches!(self.why, Why::TooDeep { .. }) {
            self.containers
                .push((container.as_ptr().addr(), type_name(container)));
        }
        self
    }

    pub(super) fn into_error(mut self, py: Python<'_>, root: &str) -> PyErr {
        self.path.reverse();
        self.containers.reverse();
        let (type_name, reason) = match self.why {
            Why::Raised(error) => return error,
            Why::NotKeyable { type_name, reason } => (type_name, reason.into_owned()),
            Why::TooDeep { type_name } => match returns_to_itself(&self.containers) {
                Some(place) => {
                    self.path.truncate(place);
                    let (_, type_name) = self.containers.swap_remove(place);
                    (type_name, "it contains itself".to_owned())
                }
                None => (
                    type_name,
                    format!("it is nested in more than {MAX_DEPTH} others"),
                ),
            },
        };
        let path = shortened(root, &self.path);
        errors::raise(py, "NotKeyable", (path, type_name, reason))
    }
}

/// The place of the first container that stands further out already.
fn returns_to_itself(containers: &[(usize, String)]) -> Option<usize> {
    (1..containers.len()).find(|&place| {
        containers[..place]
            .iter()
            .any(|(address, _)| *address == containers[place].0)
    })
}

/// A long path is of use by its ends only.
fn shortened(root: &str, segments: &[String]) -> String {
    const SHOWN: usize = 12;
    let (start, end) = if segments.len() > 2 * SHOWN {
        (&segments[..SHOWN], &segments[segments.len() - SHOWN..])
    } else {
        (segments, &[][..])
    };
    let gap = if end.is_empty() { "" } else { "…" };
    [root, &start.concat(), gap, &end.concat()].concat()
}

/// The type of a value, with its module unless that is `builtins`.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    let class = value.get_type();
    class
        .fully_qualified_name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// A key in a path; only what runs no code of the user's is shown by its value.
pub(super) fn key_segment(key: &Bound<'_, PyAny>) -> String {
    const SHOWN: usize = 60;
    let plain = key.is_none()
        || key.is_exact_instance_of::<PyString>()
        || key.is_exact_instance_of::<PyInt>()
        || key.is_exact_instance_of::<PyBool>()
        || key.is_exact_instance_of::<PyFloat>()
        || key.is_exact_instance_of::<PyBytes>();
    let shown = if plain { key.repr().ok() } else { None };
    match shown {
        Some(repr) => {
            let text = repr.to_string_lossy();
            match text.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("[{}…]", &text[..end]),
                None => format!("[{text}]"),
            }
        }
        None => format!("[<{}>]", type_name(key)),
    }
}
