//! Private copies of values: what refers to one thing refers to one copy of it, as
//! `copy.deepcopy` has it.
//!
//! As in `rebuild.rs`, every container is copied first, in one call, and the copy is
//! then looked through: nobody else can reach it. Leaves that nobody can change are
//! shared. What is none of the known types is not copied here at all.

use std::collections::HashMap;

use pyo3::Borrowed;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFrozenSet, PyTuple};

use super::MAX_DEPTH;
use super::kind::{Kind, kind_of};
use super::rebuild::{Stop, for_each_entry, for_each_item, replace_item, replace_value};
use crate::py::keys::Types;

/// How many refer to what a copied container holds and nobody else does: the
/// container and its copy.
const OWN_OF_COPIED: ffi::Py_ssize_t = 2;
/// The same of a tuple, which is not copied first.
const OWN_OF_TUPLE: ffi::Py_ssize_t = 1;

/// A copy of a value, and about how many bytes it takes; `None` if it holds what is not
/// copied natively.
#[pyfunction(name = "_measured_copy")]
pub fn measured_copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>, u64)>> {
    let mut copier = Copier::<true>::new(value.py());
    match copier.root(value) {
        Ok(copy) => Ok(Some((copy, copier.bytes))),
        Err(Stop::AskPython | Stop::TooDeep) => Ok(None),
        Err(Stop::Raised(error)) => Err(*error),
    }
}

/// A copy of a value that `_measured_copy` has made.
#[pyfunction(name = "_private_copy")]
pub fn private_copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match Copier::<false>::new(value.py()).root(value) {
        Ok(copy) => Ok(copy),
        Err(Stop::AskPython | Stop::TooDeep) => {
            Err(PyTypeError::new_err("it holds what is not copied natively"))
        }
        Err(Stop::Raised(error)) => Err(*error),
    }
}

/// A walk under way.
struct Copier<'py, const MEASURED: bool> {
    py: Python<'py>,
    /// What others may refer to, too, by its address, with its copy. Both are held, so
    /// that the address stays its own.
    met: HashMap<usize, (Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    bytes: u64,
}

/// The copy, or `None` of what is shared.
type Copied<'py> = Result<Option<Bound<'py, PyAny>>, Stop>;

impl<'py, const MEASURED: bool> Copier<'py, MEASURED> {
    fn new(py: Python<'py>) -> Self {
        Self {
            py,
            met: HashMap::new(),
            bytes: 0,
        }
    }

    fn root(&mut self, value: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Stop> {
        // Nothing is known of who refers to it.
        let copy = self.copied(value.as_ptr(), 0, 0)?;
        Ok(copy.unwrap_or_else(|| value.clone()))
    }

    /// `own`: how many refer to the object if nothing but its container does. The object
    /// is held by the caller or by its container.
    #[inline]
    fn copied(
        &mut self,
        object: *mut ffi::PyObject,
        own: ffi::Py_ssize_t,
        depth: u32,
    ) -> Copied<'py> {
        // SAFETY: the object is alive.
        match unsafe { kind_of(object) } {
            Kind::Text => {
                if MEASURED {
                    // SAFETY: it is a str.
                    self.bytes += unsafe { text_size(object) };
                }
                Ok(None)
            }
            Kind::Int => {
                if MEASURED {
                    // SAFETY: it is alive.
                    self.bytes += unsafe { var_size(object) };
                }
                Ok(None)
            }
            Kind::Float => {
                self.bytes += 24;
                Ok(None)
            }
            Kind::Bool | Kind::None => Ok(None),
            _ if depth >= MAX_DEPTH => Err(Stop::TooDeep),
            Kind::Dict => self.once(object, own, |copier, met| copier.dict(object, met, depth)),
            Kind::List => self.once(object, own, |copier, met| copier.list(object, met, depth)),
            Kind::Tuple => self.once(object, own, |copier, met| copier.tuple(object, met, depth)),
            Kind::Set => self.once(object, own, |copier, met| copier.set(object, met)),
            Kind::Other => self.rarer(object, own),
        }
    }

    /// Copies what may have been copied before.
    #[inline]
    fn once(
        &mut self,
        object: *mut ffi::PyObject,
        own: ffi::Py_ssize_t,
        copy: impl FnOnce(&mut Self, bool) -> Copied<'py>,
    ) -> Copied<'py> {
        let others = is_referred_to(object, own);
        if others && let Some((_, copy)) = self.met.get(&(object as usize)) {
            return Ok(Some(copy.clone()));
        }
        copy(self, others)
    }

    fn remember(&mut self, object: *mut ffi::PyObject, copy: &Bound<'py, PyAny>) {
        // SAFETY: the object is alive.
        let original = unsafe { Bound::from_borrowed_ptr(self.py, object) };
        self.met.insert(object as usize, (original, copy.clone()));
    }

    fn dict(&mut self, dict: *mut ffi::PyObject, is_met: bool, depth: u32) -> Copied<'py> {
        // SAFETY: it is a dict; the call returns a new reference or null.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PyDict_Copy(dict)) }?;
        if is_met {
            self.remember(dict, &copy);
        }
        let mut length = 0;
        for_each_entry(&copy, |key, value| {
            length += 1;
            self.unchanging(key, depth)?;
            if let Some(own) = self.copied(value, OWN_OF_COPIED, depth + 1)? {
                // SAFETY: the key is one of the copy's, and hashing and comparing it
                // runs nobody's code.
                unsafe { replace_value(&copy, key, &own) }?;
            }
            Ok::<_, Stop>(())
        })?;
        if MEASURED {
            self.bytes += dict_size(length);
        }
        Ok(Some(copy))
    }

    fn list(&mut self, list: *mut ffi::PyObject, is_met: bool, depth: u32) -> Copied<'py> {
        // SAFETY: it is a list; the call returns a new reference or null.
        let copy = unsafe {
            let all = ffi::PyList_GetSlice(list, 0, ffi::PY_SSIZE_T_MAX);
            Bound::from_owned_ptr_or_err(self.py, all)
        }?;
        if is_met {
            self.remember(list, &copy);
        }
        let mut length = 0;
        for_each_item(&copy, |index, item| {
            length += 1;
            if let Some(own) = self.copied(item, OWN_OF_COPIED, depth + 1)? {
                replace_item(&copy, index, own)?;
            }
            Ok::<_, Stop>(())
        })?;
        if MEASURED {
            self.bytes += 56 + 8 * length;
        }
        Ok(Some(copy))
    }

    fn tuple(&mut self, tuple: *mut ffi::PyObject, is_met: bool, depth: u32) -> Copied<'py> {
        // SAFETY: it is a tuple, and held here as long as it is looked at.
        let items =
            unsafe { Bound::from_borrowed_ptr(self.py, tuple).cast_into_unchecked::<PyTuple>() };
        let own = OWN_OF_TUPLE;
        let mut copies: Option<Vec<Bound<'py, PyAny>>> = None;
        for (index, item) in items.iter_borrowed().enumerate() {
            match (self.copied(item.as_ptr(), own, depth + 1)?, &mut copies) {
                (Some(copy), Some(copies)) => copies.push(copy),
                (None, Some(copies)) => copies.push(item.to_owned()),
                (Some(copy), None) => {
                    let mut begun: Vec<_> = items
                        .iter_borrowed()
                        .take(index)
                        .map(Borrowed::to_owned)
                        .collect();
                    begun.push(copy);
                    copies = Some(begun);
                }
                (None, None) => {}
            }
        }
        if MEASURED {
            self.bytes += 40 + 8 * items.len() as u64;
        }
        let Some(copies) = copies else {
            return Ok(None);
        };
        let copy = PyTuple::new(self.py, copies)?.into_any();
        if is_met {
            self.remember(tuple, &copy);
        }
        Ok(Some(copy))
    }

    fn set(&mut self, set: *mut ffi::PyObject, is_met: bool) -> Copied<'py> {
        // SAFETY: it is a set; the call returns a new reference or null.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PySet_New(set)) }?;
        self.elements(&copy)?;
        if is_met {
            self.remember(set, &copy);
        }
        Ok(Some(copy))
    }

    /// Whether all elements of a set that nobody changes can be shared.
    fn elements(&mut self, set: &Bound<'py, PyAny>) -> Result<(), Stop> {
        if MEASURED {
            self.bytes += 200 + 32 * set.len()? as u64;
        }
        for element in set.try_iter()? {
            self.unchanging(element?.as_ptr(), 0)?;
        }
        Ok(())
    }

    /// Lets pass what is hashed and compared without anybody's code and never changes.
    fn unchanging(&mut self, object: *mut ffi::PyObject, depth: u32) -> Result<(), Stop> {
        // SAFETY: the object is alive, held by its container.
        let kind = unsafe { kind_of(object) };
        let is_leaf = match kind {
            Kind::Tuple => {
                if depth >= MAX_DEPTH {
                    return Err(Stop::TooDeep);
                }
                // SAFETY: it is a tuple, held by its container.
                let items = unsafe {
                    Bound::from_borrowed_ptr(self.py, object).cast_into_unchecked::<PyTuple>()
                };
                if MEASURED {
                    self.bytes += 40 + 8 * items.len() as u64;
                }
                for item in items.iter_borrowed() {
                    self.unchanging(item.as_ptr(), depth + 1)?;
                }
                return Ok(());
            }
            Kind::Dict | Kind::List | Kind::Set => false,
            Kind::Other => {
                // SAFETY: as above.
                let value = unsafe { Bound::from_borrowed_ptr(self.py, object) };
                self.is_leaf(&value)?
            }
            _ => {
                self.copied(object, 0, depth)?;
                true
            }
        };
        if is_leaf {
            Ok(())
        } else {
            Err(Stop::AskPython)
        }
    }

    /// Whether a value of a less usual type is never changed by anybody.
    fn is_leaf(&mut self, value: &Bound<'py, PyAny>) -> Result<bool, Stop> {
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            self.bytes += 33 + bytes.as_bytes().len() as u64;
            return Ok(true);
        }
        if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
            self.elements(set.as_any())?;
            return Ok(true);
        }
        let types = Types::get(self.py)?;
        let is_leaf = types.is_unchanging(value)
            || match types.numpy(self.py)? {
                Some(numpy) => numpy.is_plain_scalar(value)?,
                None => false,
            };
        self.bytes += 64;
        Ok(is_leaf)
    }

    #[inline(never)]
    fn rarer(&mut self, object: *mut ffi::PyObject, own: ffi::Py_ssize_t) -> Copied<'py> {
        // SAFETY: the object is alive.
        let value = unsafe { Bound::from_borrowed_ptr(self.py, object) };
        if self.is_leaf(&value)? {
            return Ok(None);
        }
        self.once(object, own, |copier, met| {
            let copy = if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
                copier.bytes += bytes.len() as u64;
                // SAFETY: it is a bytearray; the call returns a new reference or null.
                let copy = unsafe { ffi::PyByteArray_FromObject(object) };
                // SAFETY: as above.
                unsafe { Bound::from_owned_ptr_or_err(copier.py, copy) }?
            } else if let Some(numpy) = Types::get(copier.py)?.numpy(copier.py)?
                && let Some((copy, bytes)) = numpy.plain_copy(&value)?
            {
                copier.bytes += bytes + 112;
                copy
            } else {
                return Err(Stop::AskPython);
            };
            if met {
                copier.remember(object, &copy);
            }
            Ok(Some(copy))
        })
    }
}

/// Whether more refer to an object than its container; without a lock of the
/// interpreter's, counts say nothing.
#[inline]
fn is_referred_to(object: *mut ffi::PyObject, own: ffi::Py_ssize_t) -> bool {
    // SAFETY: the object is alive.
    cfg!(Py_GIL_DISABLED) || unsafe { ffi::Py_REFCNT(object) } > own
}

/// # Safety
/// `text` must be a live str.
unsafe fn text_size(text: *mut ffi::PyObject) -> u64 {
    // SAFETY: passed on to the caller.
    let (length, kind) = unsafe { (ffi::PyUnicode_GET_LENGTH(text), ffi::PyUnicode_KIND(text)) };
    56 + length.cast_unsigned() as u64 * u64::from(kind)
}

/// # Safety
/// `int` must be a live int.
unsafe fn var_size(int: *mut ffi::PyObject) -> u64 {
    // SAFETY: passed on to the caller; of an int that fits, nothing else is asked.
    unsafe {
        let mut is_larger = 0;
        ffi::PyLong_AsLongLongAndOverflow(int, &raw mut is_larger);
        if is_larger == 0 {
            return 32;
        }
        let size = ffi::PyObject_CallMethodNoArgs(int, sizeof_name());
        if size.is_null() {
            ffi::PyErr_Clear();
            return 32;
        }
        let bytes = ffi::PyLong_AsUnsignedLongLong(size);
        ffi::Py_DECREF(size);
        bytes
    }
}

fn sizeof_name() -> *mut ffi::PyObject {
    // SAFETY: only called while attached.
    let py = unsafe { Python::assume_attached() };
    pyo3::intern!(py, "__sizeof__").as_ptr()
}

/// What a dict of so many entries takes.
fn dict_size(length: u64) -> u64 {
    let slots = (length * 3 / 2).max(8).next_power_of_two();
    let index = match slots {
        ..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    96 + slots * index + slots * 2 / 3 * 24
}
