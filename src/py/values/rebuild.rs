//! Rebuilding a value: new dicts and lists around the same leaves.
//!
//! Kailash does this several times a node, with small differences; [`Rules`]
//! names them. Every container is copied first, in one call, and the copy is
//! then looked through. Nobody else can reach the copy, so its entries stay
//! where they are, whatever a finaliser or a stock function does to the
//! original meanwhile.

use super::{
    MAX_DEPTH,
    depth::is_too_deep,
    kind::{Kind, kind_of},
};
use pyo3::{ffi, prelude::*};

/// What a rebuild does to each kind of value.
pub(super) trait Rules {
    /// Lists are rebuilt; otherwise they are shared with what is inside.
    const LISTS_REBUILT: bool;
    /// Tuples become lists; otherwise they are shared with what is inside.
    const TUPLES_BECOME_LISTS: bool;
    /// Sets are shared; otherwise Python is asked about them.
    const SETS_STAY: bool;
    /// Objects of other types are shared; otherwise Python is asked about them.
    const OTHERS_STAY: bool;

    /// Whether a string value is left as it is; otherwise Python is asked.
    ///
    /// # Safety
    /// `text` must be a live `str` and the thread attached.
    unsafe fn text_stays(text: *mut ffi::PyObject) -> bool;

    /// Whether a string key is left as it is; otherwise Python is asked.
    ///
    /// # Safety
    /// As for [`Rules::text_stays`].
    unsafe fn key_stays(text: *mut ffi::PyObject) -> bool;
}

/// Why a native rebuild ended early.
pub(super) enum Stop {
    /// Nested beyond what is walked natively.
    TooDeep,
    /// Something in it is Python's to decide.
    AskPython,
    /// The interpreter is out of memory.
    Raised(Box<PyErr>),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Raised(Box::new(error))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Keep,
    Dict,
    List,
    Tuple,
    AskPython,
}

/// # Safety
/// `object` must be a live object and the thread attached.
#[inline]
unsafe fn action_for<R: Rules>(object: *mut ffi::PyObject) -> Action {
    let keep_if = |keep| {
        if keep {
            Action::Keep
        } else {
            Action::AskPython
        }
    };
    // SAFETY: passed on to the caller.
    match unsafe { kind_of(object) } {
        // SAFETY: `object` is a str.
        Kind::Text => keep_if(unsafe { R::text_stays(object) }),
        Kind::Dict => Action::Dict,
        Kind::List if R::LISTS_REBUILT => Action::List,
        Kind::Tuple if R::TUPLES_BECOME_LISTS => Action::Tuple,
        Kind::Int | Kind::Float | Kind::Bool | Kind::None | Kind::List | Kind::Tuple => {
            Action::Keep
        }
        Kind::Set => keep_if(R::SETS_STAY),
        Kind::Other => keep_if(R::OTHERS_STAY),
    }
}

/// Rebuilds without ever running Python code.
#[inline]
pub(super) fn rebuild_native<'py, R: Rules>(
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>, Stop> {
    // SAFETY: `value` is alive.
    let action = unsafe { action_for::<R>(value.as_ptr()) };
    native::<R>(value.py(), value.as_ptr(), action, 0)?.map_or_else(|| Ok(value.clone()), Ok)
}

/// Rebuilds what is native and calls `ask` for the rest: with a part of `value`
/// where that is enough, and with all of it where it is nested too deeply, so
/// that stock meets the same recursion limit as ever.
pub(super) fn rebuild<'py, R: Rules>(
    value: &Bound<'py, PyAny>,
    ask: &dyn Fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match rebuild_native::<R>(value) {
        Ok(rebuilt) => Ok(rebuilt),
        Err(Stop::Raised(error)) => Err(*error),
        Err(Stop::TooDeep) => ask(value),
        Err(Stop::AskPython) => rebuild_asking::<R>(value, ask),
    }
}

/// [`rebuild`] for a value of which it is known that Python must be asked.
pub(super) fn rebuild_asking<'py, R: Rules>(
    value: &Bound<'py, PyAny>,
    ask: &dyn Fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let too_deep = if R::TUPLES_BECOME_LISTS {
        is_too_deep::<true>(value)
    } else {
        is_too_deep::<false>(value)
    };
    if too_deep {
        ask(value)
    } else {
        asking::<R>(value, ask, 0)
    }
}

/// The rebuilt container, or `None` for an object that is shared.
#[inline]
fn native<R: Rules>(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    action: Action,
    depth: u32,
) -> Result<Option<Bound<'_, PyAny>>, Stop> {
    match action {
        Action::Keep => Ok(None),
        Action::AskPython => Err(Stop::AskPython),
        _ if depth >= MAX_DEPTH => Err(Stop::TooDeep),
        Action::Dict => native_dict::<R>(py, object, depth).map(Some),
        Action::List | Action::Tuple => native_list::<R>(py, object, action, depth).map(Some),
    }
}

fn native_dict<R: Rules>(
    py: Python<'_>,
    dict: *mut ffi::PyObject,
    depth: u32,
) -> Result<Bound<'_, PyAny>, Stop> {
    // SAFETY: `dict` is an exact dict, held by the caller or by its container.
    let copy = unsafe { copy_of_dict(py, dict) }?;
    let mut nested = false;
    for_each_entry(&copy, |key, value| {
        // SAFETY: the copy holds the key and the value.
        unsafe {
            if !key_stays::<R>(key) {
                return Err(Stop::AskPython);
            }
            match action_for::<R>(value) {
                Action::Keep => {}
                Action::AskPython => return Err(Stop::AskPython),
                Action::Dict | Action::List | Action::Tuple => nested = true,
            }
        }
        Ok(())
    })?;
    if nested {
        // All keys are known to be plain by now, so that looking one up to
        // replace its value compares nothing but plain objects.
        for_each_entry(&copy, |key, value| {
            // SAFETY: the copy holds the key and the value; the value is read
            // for the last time before it is replaced.
            unsafe {
                let action = action_for::<R>(value);
                if let Some(rebuilt) = native::<R>(py, value, action, depth + 1)? {
                    replace_value(&copy, key, &rebuilt)?;
                }
            }
            Ok::<_, Stop>(())
        })?;
    }
    Ok(copy)
}

fn native_list<R: Rules>(
    py: Python<'_>,
    sequence: *mut ffi::PyObject,
    action: Action,
    depth: u32,
) -> Result<Bound<'_, PyAny>, Stop> {
    // SAFETY: `sequence` is the exact list or tuple that `action` says, held by
    // the caller or by its container.
    let copy = unsafe { copy_as_list(py, sequence, action) }?;
    for_each_item(&copy, |index, item| {
        // SAFETY: the copy holds the item, which is read for the last time
        // before it is replaced.
        unsafe {
            let action = action_for::<R>(item);
            if let Some(rebuilt) = native::<R>(py, item, action, depth + 1)? {
                replace_item(&copy, index, rebuilt)?;
            }
        }
        Ok::<_, Stop>(())
    })?;
    Ok(copy)
}

fn asking<'py, R: Rules>(
    value: &Bound<'py, PyAny>,
    ask: &dyn Fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    depth: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    // SAFETY: `value` is alive.
    let action = unsafe { action_for::<R>(value.as_ptr()) };
    match action {
        Action::Keep => Ok(value.clone()),
        Action::AskPython => ask(value),
        // Only a value that code has changed since its depth was looked at.
        _ if depth >= MAX_DEPTH => ask(value),
        Action::Dict => {
            // SAFETY: `value` is an exact dict, and alive.
            let copy = unsafe { copy_of_dict(py, value.as_ptr()) }?;
            let mut plain = true;
            for_each_entry(&copy, |key, _| {
                // SAFETY: the copy holds the key.
                plain &= unsafe { key_stays::<R>(key) };
                Ok::<_, PyErr>(())
            })?;
            if !plain {
                return ask(value);
            }
            for_each_entry(&copy, |key, old| {
                // SAFETY: the copy holds the key and, until it is replaced, the
                // value, which is owned here while Python code runs.
                unsafe {
                    let old = Bound::from_borrowed_ptr(py, old);
                    let new = asking::<R>(&old, ask, depth + 1)?;
                    if new.is(&old) {
                        Ok(())
                    } else {
                        replace_value(&copy, key, &new)
                    }
                }
            })?;
            Ok(copy)
        }
        Action::List | Action::Tuple => {
            // SAFETY: `value` is the list or tuple that `action` says, and alive.
            let copy = unsafe { copy_as_list(py, value.as_ptr(), action) }?;
            for_each_item(&copy, |index, old| {
                // SAFETY: the copy holds the item until it is replaced; it is
                // owned here while Python code runs.
                let old = unsafe { Bound::from_borrowed_ptr(py, old) };
                let new = asking::<R>(&old, ask, depth + 1)?;
                if new.is(&old) {
                    Ok(())
                } else {
                    replace_item(&copy, index, new)
                }
            })?;
            Ok(copy)
        }
    }
}

/// # Safety
/// `key` must be a live object and the thread attached.
#[inline]
unsafe fn key_stays<R: Rules>(key: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller; a key of kind `Text` is a str.
    unsafe {
        match kind_of(key) {
            Kind::Text => R::key_stays(key),
            kind => kind.is_plain_key(),
        }
    }
}

/// # Safety
/// `dict` must be a live exact dict.
#[inline]
unsafe fn copy_of_dict(py: Python<'_>, dict: *mut ffi::PyObject) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: `dict` is a dict, and the call returns a new reference or null.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(dict)) }
}

/// # Safety
/// `sequence` must be a live exact tuple for `Action::Tuple`, else a live exact
/// list.
#[inline]
unsafe fn copy_as_list(
    py: Python<'_>,
    sequence: *mut ffi::PyObject,
    action: Action,
) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the types are as the calls want them, and both return a new
    // reference or null.
    unsafe {
        let copy = if action == Action::Tuple {
            ffi::PySequence_List(sequence)
        } else {
            ffi::PyList_GetSlice(sequence, 0, ffi::PY_SSIZE_T_MAX)
        };
        Bound::from_owned_ptr_or_err(py, copy)
    }
}

/// Visits the entries of a dict that only the caller can reach. The visitor may
/// replace values but add and remove nothing.
#[inline]
pub(super) fn for_each_entry<E>(
    copy: &Bound<'_, PyAny>,
    mut visit: impl FnMut(*mut ffi::PyObject, *mut ffi::PyObject) -> Result<(), E>,
) -> Result<(), E> {
    let mut position = 0;
    let mut key = std::ptr::null_mut();
    let mut value = std::ptr::null_mut();
    // SAFETY: the copy is a dict and alive; values may be replaced meanwhile.
    while unsafe {
        ffi::PyDict_Next(
            copy.as_ptr(),
            &raw mut position,
            &raw mut key,
            &raw mut value,
        )
    } != 0
    {
        visit(key, value)?;
    }
    Ok(())
}

/// Visits the items of a list that only the caller can reach. The visitor may
/// replace items.
#[inline]
pub(super) fn for_each_item<E>(
    copy: &Bound<'_, PyAny>,
    mut visit: impl FnMut(ffi::Py_ssize_t, *mut ffi::PyObject) -> Result<(), E>,
) -> Result<(), E> {
    let mut index = 0;
    // SAFETY: the copy is a list and alive.
    while index < unsafe { ffi::PyList_GET_SIZE(copy.as_ptr()) } {
        // SAFETY: the index was checked just now.
        visit(index, unsafe { ffi::PyList_GET_ITEM(copy.as_ptr(), index) })?;
        index += 1;
    }
    Ok(())
}

/// # Safety
/// `key` must be a key of the dict `copy`.
pub(super) unsafe fn replace_value(
    copy: &Bound<'_, PyAny>,
    key: *mut ffi::PyObject,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: the dict holds the key, and takes its own reference to the value.
    if unsafe { ffi::PyDict_SetItem(copy.as_ptr(), key, value.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(copy.py()))
    }
}

pub(super) fn replace_item(
    copy: &Bound<'_, PyAny>,
    index: ffi::Py_ssize_t,
    item: Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: the call checks the index and takes the reference over, even when
    // it fails.
    if unsafe { ffi::PyList_SetItem(copy.as_ptr(), index, item.into_ptr()) } == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(copy.py()))
    }
}
