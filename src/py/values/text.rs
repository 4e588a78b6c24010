//! Looking into Python strings without copying them.

use pyo3::ffi;

/// The code points of a string in the width in which Python stores them.
#[derive(Clone, Copy)]
pub(in crate::py) enum Units<'a> {
    One(&'a [u8]),
    Two(&'a [u16]),
    Four(&'a [u32]),
}

/// Longer strings are refused by stock, whose words the user should read.
const MAX_LENGTH: usize = 10_000;

/// Code points looked at together.
const CHUNK: usize = 32;

/// A code point as stored: `u8`, `u16` or `u32`.
pub(super) trait Unit: Copy + Into<u32> {}
impl Unit for u8 {}
impl Unit for u16 {}
impl Unit for u32 {}

/// The string's buffer, or `None` for a string in Python 3.11's legacy form.
///
/// # Safety
/// `text` must be a live `str` that outlives `'a`, and the thread attached.
#[inline]
pub(in crate::py) unsafe fn units<'a>(text: *mut ffi::PyObject) -> Option<Units<'a>> {
    #[allow(
        deprecated,
        reason = "deprecated where every string is ready, needed in 3.11"
    )]
    // SAFETY: `text` is a live str.
    let ready = unsafe { ffi::PyUnicode_IS_READY(text) } != 0;
    if !ready {
        return None;
    }
    // SAFETY: the string is ready, so its kind, length and data agree: the data
    // holds `length` code points of the width that the kind names, aligned for
    // it, and strings never change.
    unsafe {
        let length = ffi::PyUnicode_GET_LENGTH(text).cast_unsigned();
        let data = ffi::PyUnicode_DATA(text);
        Some(match ffi::PyUnicode_KIND(text) {
            ffi::PyUnicode_1BYTE_KIND => {
                Units::One(std::slice::from_raw_parts(data.cast(), length))
            }
            ffi::PyUnicode_2BYTE_KIND => {
                Units::Two(std::slice::from_raw_parts(data.cast(), length))
            }
            ffi::PyUnicode_4BYTE_KIND => {
                Units::Four(std::slice::from_raw_parts(data.cast(), length))
            }
            _ => return None,
        })
    }
}

impl Units<'_> {
    #[inline]
    fn len(self) -> usize {
        match self {
            Self::One(units) => units.len(),
            Self::Two(units) => units.len(),
            Self::Four(units) => units.len(),
        }
    }

    #[inline]
    fn has<const TEMPLATES: bool, const MARKUP: bool>(self) -> bool {
        match self {
            Self::One(units) => scan::<_, TEMPLATES, MARKUP>(units),
            Self::Two(units) => scan::<_, TEMPLATES, MARKUP>(units),
            Self::Four(units) => scan::<_, TEMPLATES, MARKUP>(units),
        }
    }
}

/// Whether stock's template resolver might change this string.
///
/// # Safety
/// As for [`units`].
#[inline]
pub(super) unsafe fn has_template(text: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller.
    unsafe { units(text) }.is_none_or(Units::has::<true, false>)
}

/// Whether stock's sanitiser might change or refuse this string.
///
/// # Safety
/// As for [`units`].
#[inline]
pub(super) unsafe fn needs_sanitizing(text: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller.
    unsafe { units(text) }
        .is_none_or(|units| units.len() > MAX_LENGTH || units.has::<false, true>())
}

/// Whether stock's template resolver or its sanitiser might act on this string.
///
/// # Safety
/// As for [`units`].
#[inline]
pub(super) unsafe fn needs_attention(text: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller.
    unsafe { units(text) }.is_none_or(|units| units.len() > MAX_LENGTH || units.has::<true, true>())
}

/// Whether the string names a path in the sense of stock's parameter check:
/// its lower-case form contains "path" or "file". No character outside ASCII
/// becomes one of these letters when it is lowered.
///
/// # Safety
/// As for [`units`].
#[inline]
pub(super) unsafe fn names_path(text: *mut ffi::PyObject) -> bool {
    // SAFETY: passed on to the caller.
    match unsafe { units(text) } {
        None => true,
        Some(Units::One(units)) => contains_path_word(units),
        Some(Units::Two(units)) => contains_path_word(units),
        Some(Units::Four(units)) => contains_path_word(units),
    }
}

fn contains_path_word<T: Unit>(units: &[T]) -> bool {
    units.windows(4).any(|window| {
        let lowered = |index: usize| window[index].into() | 0x20;
        let spells = |word: &[u8; 4]| (0..4).all(|index| lowered(index) == u32::from(word[index]));
        spells(b"path") || spells(b"file")
    })
}

#[inline]
fn scan<T: Unit, const TEMPLATES: bool, const MARKUP: bool>(units: &[T]) -> bool {
    let interesting = |&unit: &T| {
        let unit = unit.into();
        (MARKUP & ((unit == u32::from(b'<')) | (unit == u32::from(b':'))))
            | (TEMPLATES & (unit == u32::from(b'$')))
    };
    let suspicious_from = |start: usize, count: usize| {
        (start..start + count).any(|index| suspicious_at::<_, TEMPLATES, MARKUP>(units, index))
    };
    let (chunks, tail) = units.as_chunks::<CHUNK>();
    for (number, chunk) in chunks.iter().enumerate() {
        // No early exit and a fixed length: that is what lets it run vectorised.
        let found = chunk
            .iter()
            .fold(0_u8, |found, unit| found | u8::from(interesting(unit)));
        if found != 0 && suspicious_from(number * CHUNK, CHUNK) {
            return true;
        }
    }
    suspicious_from(units.len() - tail.len(), tail.len())
}

#[inline]
fn suspicious_at<T: Unit, const TEMPLATES: bool, const MARKUP: bool>(
    units: &[T],
    index: usize,
) -> bool {
    const DOLLAR: u32 = b'$' as u32;
    const LESS: u32 = b'<' as u32;
    const COLON: u32 = b':' as u32;
    match units[index].into() {
        LESS => MARKUP && begins_forbidden_tag(&units[index + 1..]),
        COLON => MARKUP && ends_with_javascript(&units[..index]),
        DOLLAR => {
            TEMPLATES
                && units
                    .get(index + 1)
                    .is_some_and(|&next| next.into() == u32::from(b'{'))
        }
        _ => false,
    }
}

/// Whether the text before a colon may be "javascript" to a case-insensitive
/// regular expression. Some characters outside ASCII (ſ, ı, İ) fold to its
/// letters; any of them counts as a match here, and stock then decides.
fn ends_with_javascript<T: Unit>(before: &[T]) -> bool {
    const WORD: &[u8] = b"javascript";
    before.len() >= WORD.len() && may_spell(&before[before.len() - WORD.len()..], WORD)
}

/// Whether the text after a `<` may open or close a tag that stock removes.
fn begins_forbidden_tag<T: Unit>(after: &[T]) -> bool {
    const TAGS: [&[u8]; 4] = [b"script", b"iframe", b"object", b"embed"];
    let name = match after.first() {
        Some(&slash) if slash.into() == u32::from(b'/') => &after[1..],
        _ => after,
    };
    TAGS.iter()
        .any(|tag| name.len() >= tag.len() && may_spell(&name[..tag.len()], tag))
}

/// Whether a case-insensitive regular expression may take `units` for `word`.
fn may_spell<T: Unit>(units: &[T], word: &[u8]) -> bool {
    units.iter().zip(word).all(|(&unit, &letter)| {
        let unit = unit.into();
        unit >= 0x80 || unit | 0x20 == u32::from(letter)
    })
}
