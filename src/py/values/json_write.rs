//! The text of `json.dumps(value)`, byte for byte, for plain values.

use super::{
    MAX_DEPTH, Verdict,
    kind::{Kind, kind_of},
    text::{Unit, Units, units},
    walk::{any_entry, any_item, tuple_items},
};
use pyo3::{ffi, prelude::*};
use std::ffi::CStr;

/// Appends what `json.dumps(value)` returns with default arguments, which is
/// pure ASCII. On [`Verdict::AskPython`] nothing is appended.
pub fn write_json(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Verdict {
    let start = out.len();
    // SAFETY: `value` is alive.
    if unsafe { write(value.py(), value.as_ptr(), out, 0) } {
        Verdict::Yes
    } else {
        out.truncate(start);
        Verdict::AskPython
    }
}

/// Whether the object could be written; if not, some of it may have been.
///
/// # Safety
/// `object` must be alive until the first call that can run Python code; there
/// is none in here.
unsafe fn write(py: Python<'_>, object: *mut ffi::PyObject, out: &mut Vec<u8>, depth: u32) -> bool {
    // SAFETY: passed on to the caller; each object is of the kind that the
    // function called for it wants, and the walk owns what it descends into.
    unsafe {
        match kind_of(object) {
            kind @ (Kind::Dict | Kind::List | Kind::Tuple) => {
                depth < MAX_DEPTH
                    && write_container(&Bound::from_borrowed_ptr(py, object), kind, out, depth + 1)
            }
            kind => write_scalar(py, object, kind, out),
        }
    }
}

/// # Safety
/// `container` must be of the kind that `kind` says.
unsafe fn write_container(
    container: &Bound<'_, PyAny>,
    kind: Kind,
    out: &mut Vec<u8>,
    depth: u32,
) -> bool {
    let py = container.py();
    let (open, close) = if kind == Kind::Dict {
        (b'{', b'}')
    } else {
        (b'[', b']')
    };
    out.push(open);
    let mut separator: &[u8] = b"";
    let mut failed_on_item = |item| {
        out.extend_from_slice(separator);
        separator = b", ";
        // SAFETY: the container holds the item.
        !unsafe { write(py, item, out, depth) }
    };
    let failed = match kind {
        Kind::Dict => any_entry(container, |key, value| {
            out.extend_from_slice(separator);
            separator = b", ";
            // SAFETY: the dict holds both.
            !unsafe { write_entry(py, key, value, out, depth) }
        }),
        Kind::List => any_item(container, failed_on_item),
        _ => tuple_items(container).any(&mut failed_on_item),
    };
    out.push(close);
    !failed
}

/// # Safety
/// `key` and `value` must be alive.
unsafe fn write_entry(
    py: Python<'_>,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    out: &mut Vec<u8>,
    depth: u32,
) -> bool {
    // SAFETY: passed on to the caller.
    unsafe {
        let kind = kind_of(key);
        let quote: &[u8] = if kind == Kind::Text { b"" } else { b"\"" };
        out.extend_from_slice(quote);
        if !write_scalar(py, key, kind, out) {
            return false;
        }
        out.extend_from_slice(quote);
        out.extend_from_slice(b": ");
        write(py, value, out, depth)
    }
}

/// # Safety
/// `object` must be alive and of the kind that `kind` says.
unsafe fn write_scalar(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    kind: Kind,
    out: &mut Vec<u8>,
) -> bool {
    // SAFETY: passed on to the caller.
    unsafe {
        match kind {
            Kind::Text => return write_text(object, out),
            Kind::Int => return write_int(py, object, out),
            Kind::Float => return write_float(ffi::PyFloat_AS_DOUBLE(object), out),
            Kind::None => out.extend_from_slice(b"null"),
            Kind::Bool if object == ffi::Py_True() => out.extend_from_slice(b"true"),
            Kind::Bool => out.extend_from_slice(b"false"),
            Kind::Dict | Kind::List | Kind::Tuple | Kind::Set | Kind::Other => return false,
        }
    }
    true
}

/// # Safety
/// `int` must be a live exact int.
unsafe fn write_int(py: Python<'_>, int: *mut ffi::PyObject, out: &mut Vec<u8>) -> bool {
    let mut overflow = 0;
    // SAFETY: the object is an int, so the call sets no error.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(int, &raw mut overflow) };
    if overflow == 0 {
        write_i64(small, out);
        return true;
    }
    // SAFETY: the repr of an exact int runs no code of the user; it is a new
    // reference, or null with an error where the int has too many digits.
    let repr = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_Repr(int)) };
    // SAFETY: a repr is a str, alive here.
    match repr.as_ref().map(|repr| unsafe { units(repr.as_ptr()) }) {
        Ok(Some(Units::One(digits))) => {
            out.extend_from_slice(digits);
            true
        }
        _ => false,
    }
}

fn write_i64(int: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = int.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if int < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

fn write_float(float: f64, out: &mut Vec<u8>) -> bool {
    if float.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if float.is_infinite() {
        out.extend_from_slice(if float > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    } else {
        // SAFETY: the call returns null, with an error that is cleared, or a
        // string that is read and freed here.
        unsafe {
            let repr = ffi::PyOS_double_to_string(
                float,
                *c"r".as_ptr(),
                0,
                ffi::Py_DTSF_ADD_DOT_0,
                std::ptr::null_mut(),
            );
            if repr.is_null() {
                ffi::PyErr_Clear();
                return false;
            }
            out.extend_from_slice(CStr::from_ptr(repr).to_bytes());
            ffi::PyMem_Free(repr.cast());
        }
    }
    true
}

/// # Safety
/// `text` must be a live exact str.
unsafe fn write_text(text: *mut ffi::PyObject, out: &mut Vec<u8>) -> bool {
    // SAFETY: passed on to the caller.
    let Some(units) = (unsafe { units(text) }) else {
        return false;
    };
    out.push(b'"');
    match units {
        Units::One(units) => write_bytes(units, out),
        Units::Two(units) => units.iter().for_each(|&unit| write_unit(unit, out)),
        Units::Four(units) => units.iter().for_each(|&unit| write_unit(unit, out)),
    }
    out.push(b'"');
    true
}

fn write_bytes(units: &[u8], out: &mut Vec<u8>) {
    let stays = |unit: u8| matches!(unit, b' '..=b'~') && unit != b'"' && unit != b'\\';
    let mut rest = units;
    while let Some(length) = rest.iter().position(|&unit| !stays(unit)) {
        out.extend_from_slice(&rest[..length]);
        write_unit(rest[length], out);
        rest = &rest[length + 1..];
    }
    out.extend_from_slice(rest);
}

fn write_unit<T: Unit>(unit: T, out: &mut Vec<u8>) {
    let point: u32 = unit.into();
    match point {
        0x22 => out.extend_from_slice(b"\\\""),
        0x5c => out.extend_from_slice(b"\\\\"),
        0x20..=0x7e => out.push(point as u8),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        0..=0xffff => write_escape(point, out),
        _ => {
            let offset = point - 0x1_0000;
            write_escape(0xd800 | (offset >> 10), out);
            write_escape(0xdc00 | (offset & 0x3ff), out);
        }
    }
}

/// `\uXXXX` for a 16-bit code unit, lone surrogates included.
fn write_escape(unit: u32, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| DIGITS[(unit >> shift & 0xf) as usize];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}
