//! A function whose results are cached.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::mapping::hash;
use super::native::NativeCache;

static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

#[pyclass(frozen, subclass, module = "nexus_core._core", name = "_CachedCall")]
pub(crate) struct CachedCall {
    cache: Py<NativeCache>,
    function: Py<PyAny>,
    make_key: Py<PyAny>,
    /// Whether `make_key` does as `plain_key` where there are no keywords.
    is_plain: bool,
}

/// The arguments; one text stands for itself. A number does not: equal
/// ones of other types are the same key.
#[inline]
fn plain_key<'py>(args: &Bound<'py, PyTuple>) -> Bound<'py, PyAny> {
    if args.len() == 1
        && let Ok(only) = args.get_item(0)
        && only.is_exact_instance_of::<PyString>()
    {
        return only;
    }
    args.clone().into_any()
}

#[pymethods]
impl CachedCall {
    #[new]
    fn new(
        cache: Py<NativeCache>,
        function: Py<PyAny>,
        make_key: Py<PyAny>,
        is_plain: bool,
    ) -> Self {
        Self {
            cache,
            function,
            make_key,
            is_plain,
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    #[inline]
    fn __call__(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = args.py();
        let key = if self.is_plain && kwargs.is_none() {
            plain_key(args)
        } else {
            self.make_key.bind(py).call(args, kwargs)?
        };
        let cache = self.cache.get();
        let hash = hash(&key)?;
        if let Some(value) = cache.look_up(&key, hash)? {
            return Ok(value.unbind());
        }
        let compute = || self.function.bind(py).call(args, kwargs);
        cache.load(&key, hash, compute, None, &[])
    }

    /// A method, when it is looked up on an instance.
    fn __get__<'py>(
        slf: Bound<'py, Self>,
        instance: Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if instance.is_none() {
            return Ok(slf.into_any());
        }
        let py = slf.py();
        let method = METHOD.get_or_try_init(py, || {
            py.import("types")?.getattr("MethodType").map(Bound::unbind)
        })?;
        method.bind(py).call1((slf, instance))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.cache)?;
        visit.call(&self.function)?;
        visit.call(&self.make_key)
    }
}
