//! Noticing that a runtime's methods have been replaced, at the cost of a look.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::watch::WatchedClass;

/// A class that had its methods as they should be, and still has.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct MethodWatch {
    class: Py<PyType>,
    watched: WatchedClass,
    names: Vec<Py<PyString>>,
}

#[pymethods]
impl MethodWatch {
    /// `names`: of the methods that must stay as they are now.
    #[new]
    #[pyo3(signature = (class_, names))]
    fn new(class_: Bound<'_, PyType>, names: Vec<Bound<'_, PyString>>) -> PyResult<Self> {
        Ok(Self {
            watched: WatchedClass::new(&class_, &names)?,
            class: class_.unbind(),
            names: names.into_iter().map(Bound::unbind).collect(),
        })
    }

    /// Whether `instance`, of exactly this class, has the methods that the class
    /// had then; `variables` are those of the instance.
    pub(super) fn is_untouched(
        &self,
        instance: &Bound<'_, PyAny>,
        variables: &Bound<'_, PyDict>,
    ) -> PyResult<bool> {
        let py = instance.py();
        if !instance.get_type().is(&self.class) || !self.watched.is_unchanged(py)? {
            return Ok(false);
        }
        for name in &self.names {
            if variables.contains(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.class)?;
        self.watched.traverse(&visit)
    }
}
