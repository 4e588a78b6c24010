//! `SwitchNode.run` for plain conditions: builtin values compared by one of the six
//! comparisons, or with nothing. Everything else is left to the node's own method.

use pyo3::basic::CompareOp;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

use crate::core::locks::Mutex;
use crate::py::engine::Ask;

#[derive(Clone, Copy)]
enum Operator {
    Compare(CompareOp),
    IsNull(bool),
}

/// Names of outputs, for the cases that they were made from.
struct CaseNames {
    prefix: String,
    cases: Vec<Py<PyAny>>,
    names: Vec<Py<PyString>>,
}

/// What a switch remembers from one run to the next.
pub(super) struct SwitchBody {
    known: Mutex<Option<std::sync::Arc<CaseNames>>>,
}

/// What the node is told, as far as it is plain.
struct Terms<'py> {
    input: Bound<'py, PyAny>,
    checked: Bound<'py, PyAny>,
    operator: Operator,
    tells_result: bool,
}

impl SwitchBody {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(None),
        }
    }

    /// What `run` returns; `None` where the node's own method has to be called.
    /// Nothing has happened then.
    pub(super) fn run<'py>(
        &self,
        instance: &Bound<'py, PyAny>,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = inputs.py();
        let Some(terms) = terms(inputs)? else {
            return Ok(None);
        };
        let logger = instance.getattr(intern!(py, "logger"))?;
        if logger
            .ask(intern!(py, "isEnabledFor"), (10,))?
            .is_truthy()?
        {
            return Ok(None);
        }
        let result = match inputs.get_item(intern!(py, "cases"))? {
            Some(cases) if !cases.is_none() => {
                let Ok(cases) = cases.cast_exact::<PyList>() else {
                    return Ok(None);
                };
                if cases.is_empty() {
                    route(&terms, inputs)?
                } else {
                    self.choose(&terms, cases, inputs)?
                }
            }
            _ => route(&terms, inputs)?,
        };
        Ok(result.map(Bound::into_any))
    }

    /// One output for each case.
    fn choose<'py>(
        &self,
        terms: &Terms<'py>,
        cases: &Bound<'py, PyList>,
        inputs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = inputs.py();
        let (Some(default), Some(prefix), Some(stops)) = (
            text(inputs, "default_field", "default")?,
            text(inputs, "case_prefix", "case_")?,
            flag(inputs, "break_after_first_match")?,
        ) else {
            return Ok(None);
        };
        if !is_plain(&terms.checked) || !cases.iter().all(|case| is_scalar(&case)) {
            return Ok(None);
        }
        let known = self.names(cases, &prefix)?;
        let result = PyDict::new(py);
        result.set_item(default, &terms.input)?;
        for name in &known.names {
            result.set_item(name, py.None())?;
        }
        let mut matched = py.None().into_bound(py);
        for (case, name) in known.cases.iter().zip(&known.names) {
            let case = case.bind(py);
            match holds(terms, case) {
                None => return Ok(None),
                Some(false) => {}
                Some(true) => {
                    result.set_item(name, &terms.input)?;
                    matched = case.clone();
                    if stops {
                        break;
                    }
                }
            }
        }
        if terms.tells_result {
            result.set_item(intern!(py, "condition_result"), matched)?;
        }
        Ok(Some(result))
    }

    fn names(
        &self,
        cases: &Bound<'_, PyList>,
        prefix: &str,
    ) -> PyResult<std::sync::Arc<CaseNames>> {
        let py = cases.py();
        if let Some(known) = self.known.lock().clone()
            && known.prefix == prefix
            && known.cases.len() == cases.len()
            && known
                .cases
                .iter()
                .zip(cases.iter())
                .all(|(known, case)| known.is(&case))
        {
            return Ok(known);
        }
        let mut made = CaseNames {
            prefix: prefix.to_owned(),
            cases: Vec::with_capacity(cases.len()),
            names: Vec::with_capacity(cases.len()),
        };
        for case in cases.iter() {
            let text = case
                .str()?
                .to_str()?
                .replace([' ', '-', '.', ':', '/'], "_");
            made.names
                .push(PyString::new(py, &format!("{prefix}{text}")).unbind());
            made.cases.push(case.unbind());
        }
        let made = std::sync::Arc::new(made);
        let before = self.known.lock().replace(std::sync::Arc::clone(&made));
        drop(before);
        Ok(made)
    }
}

/// One output for yes, one for no.
fn route<'py>(
    terms: &Terms<'py>,
    inputs: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = inputs.py();
    let none = py.None().into_bound(py);
    let value = inputs
        .get_item(intern!(py, "value"))?
        .unwrap_or_else(|| none.clone());
    let comparable = (is_scalar(&value) && is_plain(&terms.checked))
        || (is_plain(&value) && is_scalar(&terms.checked))
        || matches!(terms.operator, Operator::IsNull(_));
    if !comparable {
        return Ok(None);
    }
    let Some(holds) = holds(terms, &value) else {
        return Ok(None);
    };
    let (yes, no) = if holds {
        (&terms.input, &none)
    } else {
        (&none, &terms.input)
    };
    let result = PyDict::new(py);
    result.set_item(intern!(py, "true_output"), yes)?;
    result.set_item(intern!(py, "false_output"), no)?;
    if terms.tells_result {
        result.set_item(intern!(py, "condition_result"), holds)?;
    }
    Ok(Some(result))
}

fn terms<'py>(inputs: &Bound<'py, PyDict>) -> PyResult<Option<Terms<'py>>> {
    let py = inputs.py();
    let none = py.None().into_bound(py);
    let input = inputs
        .get_item(intern!(py, "input_data"))?
        .unwrap_or_else(|| none.clone());
    let Some(operator) = text(inputs, "operator", "==")?.and_then(|name| operator(&name)) else {
        return Ok(None);
    };
    let Some(tells_result) = flag(inputs, "pass_condition_result")? else {
        return Ok(None);
    };
    let field = match inputs.get_item(intern!(py, "condition_field"))? {
        None => None,
        Some(field) if field.is_none() => None,
        Some(field) => match field.cast_into_exact::<PyString>() {
            Ok(field) => (!field.is_empty()?).then_some(field),
            Err(_) => return Ok(None),
        },
    };
    let is_status = field.as_ref().is_some_and(|field| is_text(field, "status"));
    let checked = match field {
        None => input.clone(),
        Some(field) => match input.cast_exact::<PyDict>() {
            Ok(dict) => dict.get_item(field)?.unwrap_or(none),
            Err(_) if is_plain(&input) && !input.is_exact_instance_of::<PyList>() => input.clone(),
            Err(_) => return Ok(None),
        },
    };
    if is_status && (is_text(&checked, "unknown") || !is_plain(&checked)) {
        // Stock has a case of its own for it.
        return Ok(None);
    }
    Ok(Some(Terms {
        input,
        checked,
        operator,
        tells_result,
    }))
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "==" => Operator::Compare(CompareOp::Eq),
        "!=" => Operator::Compare(CompareOp::Ne),
        "<" => Operator::Compare(CompareOp::Lt),
        "<=" => Operator::Compare(CompareOp::Le),
        ">" => Operator::Compare(CompareOp::Gt),
        ">=" => Operator::Compare(CompareOp::Ge),
        "is_null" => Operator::IsNull(true),
        "is_not_null" => Operator::IsNull(false),
        _ => return None,
    })
}

/// `None` where the comparison fails, of which the node's own method tells.
fn holds(terms: &Terms<'_>, value: &Bound<'_, PyAny>) -> Option<bool> {
    let checked = &terms.checked;
    match terms.operator {
        Operator::IsNull(is_null) => Some(checked.is_none() == is_null),
        Operator::Compare(operator) => {
            if checked.is_none() && !matches!(operator, CompareOp::Eq | CompareOp::Ne) {
                return Some(false);
            }
            checked
                .rich_compare(value, operator)
                .and_then(|outcome| outcome.is_truthy())
                .ok()
        }
    }
}

fn is_text(value: &Bound<'_, PyAny>, text: &str) -> bool {
    value
        .cast_exact::<PyString>()
        .is_ok_and(|value| value.to_str().is_ok_and(|value| value == text))
}

/// Nothing of the user's runs when it is compared with anything plain.
fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
}

/// Nothing of the user's runs when it is compared with a scalar.
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    is_scalar(value)
        || value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PySet>()
}

/// `None` where it is not plain text.
fn text(inputs: &Bound<'_, PyDict>, name: &str, default: &str) -> PyResult<Option<String>> {
    let Some(value) = inputs.get_item(name)? else {
        return Ok(Some(default.to_owned()));
    };
    Ok(value
        .cast_exact::<PyString>()
        .ok()
        .and_then(|text| text.to_str().ok().map(str::to_owned)))
}

/// `None` where it is not a bool; what is not given is `True`.
fn flag(inputs: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<bool>> {
    let Some(value) = inputs.get_item(name)? else {
        return Ok(Some(true));
    };
    Ok(value
        .cast_exact::<PyBool>()
        .ok()
        .map(PyBoolMethods::is_true))
}
