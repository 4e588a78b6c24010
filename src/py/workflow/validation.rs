//! `Node.validate_inputs`: which inputs become which parameters, and whether they have the
//! declared types.
//!
//! Stock remembers for each set of input names which input each parameter took, on the
//! instance (`_param_cache`), and from then on nothing else counts. That memory is read and
//! filled here as stock does it, so that it does not matter who validates first. What a
//! parameter does not find under its own name, or finds with another type, is left to the
//! node's own method.

use pyo3::exceptions::PyKeyError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyString};

use crate::py::engine::Ask;

use super::inputs::look_up;
use super::node::Node;

/// A parameter that the node declares.
struct Declared {
    name: Py<PyString>,
    /// `None` stands for `typing.Any`.
    class: Option<Py<PyAny>>,
    required: bool,
    /// What stands in for a required one that nobody provides.
    default: Option<Py<PyAny>>,
    /// Other names of inputs that it takes.
    aliases: Vec<Py<PyString>>,
    /// It takes whatever is left over, if it is the only one of its kind.
    is_primary: bool,
}

/// As Python describes it.
type Declaration = (
    Py<PyString>,
    Option<Py<PyAny>>,
    bool,
    Option<Py<PyAny>>,
    Vec<Py<PyString>>,
    bool,
);

pub(super) struct Validation {
    declared: Vec<Declared>,
    /// Inputs that are passed on though no parameter takes them, in stock's order.
    special: Vec<Py<PyString>>,
    /// Warns of inputs that no parameter takes, as stock does.
    warn_unknown: Py<PyAny>,
    /// Such inputs are refused.
    is_strict: bool,
    remembers: bool,
}

impl Validation {
    pub(super) fn from_spec(spec: &Bound<'_, PyDict>) -> PyResult<Self> {
        let get = |key: &str| -> PyResult<Bound<'_, PyAny>> {
            spec.get_item(key)?.ok_or_else(|| {
                PyKeyError::new_err(format!("the description of a validation lacks {key:?}"))
            })
        };
        let declared: Vec<Declaration> = get("declared")?.extract()?;
        Ok(Self {
            declared: declared
                .into_iter()
                .map(
                    |(name, class, required, default, aliases, is_primary)| Declared {
                        name,
                        class,
                        required,
                        default,
                        aliases,
                        is_primary,
                    },
                )
                .collect(),
            special: get("special")?.extract()?,
            warn_unknown: get("warn_unknown")?.unbind(),
            is_strict: get("is_strict")?.extract()?,
            remembers: get("remembers")?.extract()?,
        })
    }

    /// The validated inputs; `None` where the node's own method has to decide.
    /// Nothing has happened then.
    pub(super) fn validate<'py>(
        &self,
        node: &Node,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(sources) = self.sources(node, inputs)? else {
            return Ok(None);
        };
        let py = inputs.py();
        let validated = PyDict::new(py);
        let mut used: Vec<&Py<PyString>> = Vec::with_capacity(sources.len());
        for (parameter, source) in self.declared.iter().zip(&sources) {
            let Some(source) = source else {
                match (&parameter.default, parameter.required) {
                    (Some(default), true) => validated.set_item(&parameter.name, default)?,
                    (None, true) => return Ok(None),
                    (_, false) => {}
                }
                continue;
            };
            let Some(value) = look_up(inputs, source) else {
                return Ok(None);
            };
            used.push(source);
            if value.is_none() && !parameter.required {
                continue;
            }
            let value = value.to_owned().unbind().into_bound(py);
            if let Some(class) = &parameter.class
                && !value.is_instance(class.bind(py))?
            {
                return Ok(None);
            }
            validated.set_item(&parameter.name, value)?;
        }
        if used.len() < inputs.len() && !self.report_unknown(inputs, &used)? {
            return Ok(None);
        }
        for special in &self.special {
            if let Some(value) = look_up(inputs, special) {
                validated.set_item(special, value)?;
            }
        }
        Ok(Some(validated))
    }

    /// The input that each parameter takes, in the order of parameters.
    fn sources(
        &self,
        node: &Node,
        inputs: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Vec<Option<Py<PyString>>>>> {
        let py = inputs.py();
        if !self.remembers {
            return Ok(self.direct(inputs, false));
        }
        let Some(pattern) = self.pattern(inputs) else {
            return Ok(None);
        };
        let memory = node
            .instance
            .bind(py)
            .getattr(intern!(py, "_param_cache"))?;
        let Ok(known) = memory.cast::<PyDict>() else {
            return Ok(None);
        };
        if let Some(mapping) = known.get_item(&pattern)? {
            return self.remembered(&mapping, inputs);
        }
        let Some(sources) = self.direct(inputs, true) else {
            return Ok(None);
        };
        let largest: usize = node
            .instance
            .bind(py)
            .getattr(intern!(py, "_cache_max_size"))?
            .extract()
            .unwrap_or(0);
        if known.len() >= largest {
            return Ok(None);
        }
        let mapping = PyDict::new(py);
        for source in sources.iter().flatten() {
            mapping.set_item(source, source)?;
        }
        // An ordered dict keeps its order itself: it has to be told.
        memory.set_item(pattern, mapping)?;
        Ok(Some(sources))
    }

    /// `None` where a parameter is not simply called what an input is called.
    fn direct(
        &self,
        inputs: &Bound<'_, PyDict>,
        compares: bool,
    ) -> Option<Vec<Option<Py<PyString>>>> {
        let py = inputs.py();
        let mut sources = Vec::with_capacity(self.declared.len());
        let mut taken = 0;
        let mut without = 0;
        for parameter in &self.declared {
            if let Some(value) = look_up(inputs, &parameter.name) {
                if compares && !equals_itself(&value) {
                    return None;
                }
                taken += 1;
                sources.push(Some(parameter.name.clone_ref(py)));
                continue;
            }
            let mut aliases = parameter.aliases.iter();
            if aliases.any(|alias| look_up(inputs, alias).is_some()) {
                return None;
            }
            without += usize::from(parameter.is_primary);
            sources.push(None);
        }
        (without != 1 || taken == inputs.len()).then_some(sources)
    }

    fn remembered(
        &self,
        mapping: &Bound<'_, PyAny>,
        inputs: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Vec<Option<Py<PyString>>>>> {
        let Ok(mapping) = mapping.cast_exact::<PyDict>() else {
            return Ok(None);
        };
        let mut sources = Vec::with_capacity(self.declared.len());
        for parameter in &self.declared {
            let source = match look_up(mapping, &parameter.name) {
                None => None,
                Some(source) => match source.cast_exact::<PyString>() {
                    Ok(source) if inputs.contains(source)? => Some(source.to_owned().unbind()),
                    _ => None,
                },
            };
            sources.push(source);
        }
        Ok(Some(sources))
    }

    /// Stock's name for a set of input names; `None` where it has none that can
    /// be made here.
    fn pattern<'py>(&self, inputs: &Bound<'py, PyDict>) -> Option<Bound<'py, PyString>> {
        let py = inputs.py();
        let keys: Vec<Bound<'py, PyString>> = inputs
            .keys()
            .iter()
            .map(|key| key.cast_into_exact().ok())
            .collect::<Option<_>>()?;
        let mut names: Vec<&str> = Vec::with_capacity(keys.len());
        for key in &keys {
            let name = key.to_str().ok()?;
            if name == "self" {
                return None;
            }
            let special = self.special.iter().any(|special| {
                special
                    .bind(py)
                    .to_str()
                    .is_ok_and(|special| special == name)
            });
            if !special {
                names.push(name);
            }
        }
        names.sort_unstable();
        Some(PyString::new(py, &names.join("|")))
    }

    /// Warns of inputs that nothing has used; `false` where they are refused.
    fn report_unknown(&self, inputs: &Bound<'_, PyDict>, used: &[&Py<PyString>]) -> PyResult<bool> {
        let py = inputs.py();
        let unknown = PyList::empty(py);
        for (key, _) in inputs.iter() {
            let Ok(name) = key.cast_exact::<PyString>() else {
                return Ok(false);
            };
            let is = |other: &Py<PyString>| {
                let other = other.bind(py);
                other.is(name) || other.as_any().eq(name).unwrap_or(false)
            };
            if used.iter().any(|used| is(used))
                || self.special.iter().any(is)
                || name.to_str().is_ok_and(|name| name.starts_with('_'))
            {
                continue;
            }
            unknown.append(key)?;
        }
        if unknown.is_empty() {
            return Ok(true);
        }
        if self.is_strict {
            return Ok(false);
        }
        self.warn_unknown.bind(py).invoke((unknown,))?;
        Ok(true)
    }

    pub(super) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.warn_unknown)?;
        self.declared.iter().try_for_each(|parameter| {
            visit.call(&parameter.class)?;
            visit.call(&parameter.default)
        })
    }
}

/// Whether `value == value` surely holds, without running code of the user.
fn equals_itself(value: &Bound<'_, PyAny>) -> bool {
    use pyo3::types::{PyBool, PyBytes, PyInt, PySet, PyTuple};
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return !number.value().is_nan();
    }
    // Containers compare their elements by identity first.
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PySet>()
        || value.is_exact_instance_of::<PyBytes>()
        // SAFETY: attached; plain look at the type.
        || unsafe { ffi::PyType_Check(value.as_ptr()) != 0 }
}
