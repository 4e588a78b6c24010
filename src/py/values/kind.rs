//! Which of Python's own types an object has, exactly.

use pyo3::ffi;

/// The exact type of an object; a subclass of any of these is `Other`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Int,
    Float,
    Bool,
    None,
    Dict,
    List,
    Tuple,
    Set,
    Other,
}

impl Kind {
    /// Whether hashing and comparing such an object runs no Python code, so
    /// that it can be a dict's key in a native walk.
    #[inline]
    pub(super) fn is_plain_key(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Int | Self::Float | Self::Bool | Self::None
        )
    }
}

/// # Safety
/// `object` must point to a live Python object and the thread be attached.
#[inline]
pub(super) unsafe fn kind_of(object: *mut ffi::PyObject) -> Kind {
    // SAFETY: the caller vouches for the object; every object has a type.
    let class = unsafe { ffi::Py_TYPE(object) };
    if class == &raw mut ffi::PyUnicode_Type {
        Kind::Text
    } else if class == &raw mut ffi::PyLong_Type {
        Kind::Int
    } else if class == &raw mut ffi::PyDict_Type {
        Kind::Dict
    } else if class == &raw mut ffi::PyFloat_Type {
        Kind::Float
    } else if class == &raw mut ffi::PyList_Type {
        Kind::List
    } else if class == &raw mut ffi::PyBool_Type {
        Kind::Bool
    // SAFETY: `None` exists as long as the interpreter does.
    } else if object == unsafe { ffi::Py_None() } {
        Kind::None
    } else if class == &raw mut ffi::PyTuple_Type {
        Kind::Tuple
    } else if class == &raw mut ffi::PySet_Type {
        Kind::Set
    } else {
        Kind::Other
    }
}
