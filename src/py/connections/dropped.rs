//! Connections that their users dropped instead of returning them.
//!
//! The pool refers to a connection while it is out. Whether anybody else does cannot
//! be told by a weak reference, which many drivers' connections do not allow, nor by the
//! count of references alone: what belongs to a connection often refers back to it, as
//! the cache of statements of one of sqlite3 does. So this does what the garbage
//! collector does, for the neighbourhood of one object.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyModule, PyType};

use crate::core::connections::Condition;
use crate::py::engine::Ask;

use super::member::Core;

/// A connection with more references than this surely is in use.
const FEW: isize = 16;

/// What belongs to a connection is no further away, and no more, than this.
const NEAR: usize = 5;
const MOST_PARTS: usize = 1000;

fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: attached; reads a count of a living object.
    unsafe { pyo3::ffi::Py_REFCNT(object.as_ptr()) }
}

/// What leads to everything else there is.
fn is_shared_by_all(part: &Bound<'_, PyAny>) -> bool {
    part.is_instance_of::<PyType>()
        || part.is_instance_of::<PyModule>()
        || part.is_instance_of::<PyFunction>()
}

/// Objects around one, and which of them refers to which.
struct Neighbourhood<'py> {
    parts: Vec<Bound<'py, PyAny>>,
    edges: Vec<(usize, usize)>,
}

impl<'py> Neighbourhood<'py> {
    /// `None` when there is too much of it to tell.
    fn of(centre: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let referents = centre.py().import("gc")?.getattr("get_referents")?;
        let mut parts = vec![centre.clone()];
        let mut edges = Vec::new();
        let mut numbers = HashMap::from([(centre.as_ptr() as usize, 0)]);
        let mut seen = 0;
        for _ in 0..NEAR {
            let here = seen..parts.len();
            seen = parts.len();
            for from in here {
                for part in referents.invoke((&parts[from],))?.try_iter()? {
                    let part = part?;
                    if is_shared_by_all(&part) {
                        continue;
                    }
                    let to = *numbers.entry(part.as_ptr() as usize).or_insert_with(|| {
                        parts.push(part);
                        parts.len() - 1
                    });
                    edges.push((from, to));
                }
            }
            if parts.len() > MOST_PARTS {
                return Ok(None);
            }
        }
        Ok(Some(Self { parts, edges }))
    }

    /// Whether the centre is reached from outside, other than by so many references
    /// of the pool's.
    fn is_reached(&self, own: isize) -> bool {
        let mut inner = vec![0; self.parts.len()];
        for &(_, to) in &self.edges {
            inner[to] += 1;
        }
        let held = |number: usize| {
            // One reference is of this neighbourhood's.
            let own = if number == 0 { own + 1 } else { 1 };
            references(&self.parts[number]) - own > inner[number]
        };
        let mut reached: Vec<bool> = (0..self.parts.len()).map(held).collect();
        // Edges lead outwards, and back in a few steps at the most.
        loop {
            let mut has_grown = false;
            for &(from, to) in &self.edges {
                if reached[from] && !reached[to] {
                    reached[to] = true;
                    has_grown = true;
                }
            }
            if !has_grown || reached[0] {
                return reached[0];
            }
        }
    }
}

/// Whether nobody but the pool, with so many references, has this connection.
fn is_dropped(connection: &Bound<'_, PyAny>, own: isize) -> bool {
    match references(connection) - own {
        others if others > FEW => false,
        0 => true,
        _ => match Neighbourhood::of(connection) {
            Ok(Some(around)) => !around.is_reached(own),
            Ok(None) | Err(_) => false,
        },
    }
}

/// Takes back the connections that are out and that nobody has any more; how many.
/// Without the interpreter's lock nobody can count references, and none are found.
pub(super) fn sweep(py: Python<'_>, pool: &Arc<Core>) -> usize {
    if cfg!(Py_GIL_DISABLED) {
        return 0;
    }
    let mut found = 0;
    for (lease, connection) in pool.bare(|member| member.connection.clone_ref(py)) {
        // The pool's own, and this one.
        if is_dropped(connection.bind(py), 2) {
            drop(connection);
            let back = pool.give_back(lease, Condition::Dropped, Instant::now(), |member| {
                member.stack.take()
            });
            found += usize::from(back.is_some());
        }
    }
    found
}
