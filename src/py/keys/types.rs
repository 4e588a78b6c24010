//! The types of the standard library and of numpy that are known natively.

use pyo3::{
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{
        PyBytes, PyComplex, PyDate, PyDateTime, PyDelta, PyEllipsis, PyString, PyTime, PyType,
        PyTzInfo, PyTzInfoAccess,
    },
};

static TYPES: PyOnceLock<Types> = PyOnceLock::new();

pub(in crate::py) struct Types {
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
    pub(in crate::py) fn get(py: Python<'_>) -> PyResult<&'static Self> {
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

    pub(in crate::py) fn is_decimal(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.decimal)
    }

    pub(in crate::py) fn is_uuid(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.uuid)
    }

    pub(super) fn is_fixed_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.fixed_zone)
    }

    pub(super) fn is_named_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        value.get_type().is(&self.named_zone)
    }

    /// Whether a value is of a type of the standard library that nobody can change.
    pub(in crate::py) fn is_unchanging(&self, value: &Bound<'_, PyAny>) -> bool {
        let is_zoned =
            |zone: Option<Bound<'_, PyTzInfo>>| zone.is_none_or(|zone| self.is_zone(zone.as_any()));
        if let Ok(moment) = value.cast_exact::<PyDateTime>() {
            is_zoned(moment.get_tzinfo())
        } else if let Ok(time) = value.cast_exact::<PyTime>() {
            is_zoned(time.get_tzinfo())
        } else {
            value.is_exact_instance_of::<PyBytes>()
                || value.is_exact_instance_of::<PyDate>()
                || value.is_exact_instance_of::<PyDelta>()
                || value.is_exact_instance_of::<PyComplex>()
                || value.is_exact_instance_of::<PyEllipsis>()
                || self.is_decimal(value)
                || self.is_uuid(value)
                || self.is_zone(value)
        }
    }

    pub(in crate::py) fn is_zone(&self, value: &Bound<'_, PyAny>) -> bool {
        self.is_fixed_zone(value) || self.is_named_zone(value)
    }

    /// numpy, if the program has imported it: otherwise nothing is of its types.
    pub(in crate::py) fn numpy(&self, py: Python<'_>) -> PyResult<Option<&Numpy>> {
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

pub(in crate::py) struct Numpy {
    array: Py<PyType>,
    generic: Py<PyType>,
    /// Of scalars that can be changed, or that hold what can be.
    changing: [Py<PyType>; 2],
    contiguous: Py<PyAny>,
    /// What says how arrays of a dtype are keyed.
    dtype_reduction: Py<PyAny>,
}

impl Numpy {
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            array: class(py, "numpy", "ndarray")?,
            generic: class(py, "numpy", "generic")?,
            changing: [class(py, "numpy", "void")?, class(py, "numpy", "object_")?],
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

    /// Whether a value is a scalar of numpy's own that nobody can change.
    pub(in crate::py) fn is_plain_scalar(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let is_a = |class: &Py<PyType>| {
            // SAFETY: both are types, and alive.
            unsafe {
                ffi::PyType_IsSubtype(ffi::Py_TYPE(value.as_ptr()), class.as_ptr().cast()) != 0
            }
        };
        if !is_a(&self.generic) || self.changing.iter().any(is_a) {
            return Ok(false);
        }
        // A subclass of a program's own may have attributes.
        let module = value.get_type().getattr(intern!(py, "__module__"))?;
        let module = module.cast_exact::<PyString>();
        Ok(module.is_ok_and(|name| name == "numpy"))
    }

    /// A copy of an array that holds no objects, and its bytes.
    pub(in crate::py) fn plain_copy<'py>(
        &self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
        let py = value.py();
        if !value.get_type().is(&self.array) {
            return Ok(None);
        }
        let dtype = value.getattr(intern!(py, "dtype"))?;
        if dtype.getattr(intern!(py, "hasobject"))?.is_truthy()? {
            return Ok(None);
        }
        let bytes = value.getattr(intern!(py, "nbytes"))?.extract()?;
        let copy = value.call_method0(intern!(py, "__copy__"))?;
        Ok(Some((copy, bytes)))
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
