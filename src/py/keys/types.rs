//! The types of the standard library and of numpy that are known natively.

use pyo3::{intern, prelude::*, sync::PyOnceLock, types::PyType};

static TYPES: PyOnceLock<Types> = PyOnceLock::new();

pub(super) struct Types {
    decimal: Py<PyType>,
    uuid: Py<PyType>,
    fixed_zone: Py<PyType>,
    named_zone: Py<PyType>,
    numpy: PyOnceLock<Numpy>,
}

fn class(py: Python<'_>, module: &str, name: &str) -> PyResult<Py<PyType>> {
    Ok(py
        .import(module)?
        .getattr(name)?
        .cast_into::<PyType>()?
        .unbind())
}

impl Types {
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        TYPES.get_or_try_init(py, || {
            Ok(Self {
                decimal: class(py, "decimal", "Decimal")?,
                uuid: class(py, "uuid", "UUID")?,
                fixed_zone: class(py, "datetime", "timezone")?,
                named_zone: class(py, "zoneinfo", "ZoneInfo")?,
                numpy: PyOnceLock::new(),
            })
        })
    }

    pub(super) fn is_decimal(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.decimal)
    }

    pub(super) fn is_uuid(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.uuid)
    }

    pub(super) fn is_fixed_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.fixed_zone)
    }

    pub(super) fn is_named_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.named_zone)
    }

    pub(super) fn is_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        self.is_fixed_zone(value) || self.is_named_zone(value)
    }

    /// numpy, if the program has imported it: otherwise nothing is of its types.
    pub(super) fn numpy(&self, py: Python<'_>) -> PyResult<Option<&Numpy>> {
        if let Some(numpy) = self.numpy.get(py) {
            return Ok(Some(numpy));
        }
        let modules = py.import("sys")?.getattr(intern!(py, "modules"))?;
        if !modules.contains(intern!(py, "numpy"))? {
            return Ok(None);
        }
        self.numpy.get_or_try_init(py, || Numpy::new(py)).map(Some)
    }
}

pub(super) struct Numpy {
    array: Py<PyType>,
    generic: Py<PyType>,
    contiguous: Py<PyAny>,
    /// What says how arrays of a dtype are keyed.
    dtype_reduction: Py<PyAny>,
}

impl Numpy {
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            array: class(py, "numpy", "ndarray")?,
            generic: class(py, "numpy", "generic")?,
            contiguous: py.import("numpy")?.getattr("ascontiguousarray")?.unbind(),
            dtype_reduction: py
                .import("nexus_core._key_arrays")?
                .getattr("dtype_reduction")?
                .unbind(),
        })
    }

    pub(super) fn array<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyType> {
        self.array.bind(py)
    }

    pub(super) fn generic<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyType> {
        self.generic.bind(py)
    }

    pub(super) fn contiguous<'py>(&self, array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.contiguous.bind(array.py()).call1((array,))
    }

    /// A description and whether the memory holds the content itself, or the reason why not.
    pub(super) fn dtype_reduction<'py>(
        &self,
        dtype: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.dtype_reduction.bind(dtype.py()).call1((dtype,))
    }
}
