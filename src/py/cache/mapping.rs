//! The methods of the cache.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyString};

use crate::core::cache::{Agent, Cause, Nanos, Store};
use crate::py::durations::durations;

use super::arguments::{self, Prefix};
use super::load::Load;
use super::native::{NativeCache, Origin};
use super::what_if;

#[inline]
pub(super) fn hash(key: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(key.hash()?.cast_unsigned() as u64)
}

fn life(ttl: Option<f64>) -> PyResult<Option<Nanos>> {
    ttl.map(|seconds| arguments::duration("ttl", seconds))
        .transpose()
}

/// A default that may be `None`, which is not the same as none.
#[allow(clippy::unnecessary_wraps)] // PyO3 calls it
fn given<'py>(default: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(default.clone()))
}

fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

#[pymethods]
impl NativeCache {
    #[new]
    #[pyo3(signature = (*, maxsize, is_lru, ttl, tti, timer, weigher, listener, what_if))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        maxsize: Option<u64>,
        is_lru: bool,
        ttl: Option<f64>,
        tti: Option<f64>,
        timer: Option<Py<PyAny>>,
        weigher: Option<Py<PyAny>>,
        listener: Option<Py<PyAny>>,
        what_if: Option<f64>,
    ) -> PyResult<Self> {
        Self::make(
            py, maxsize, is_lru, ttl, tti, timer, weigher, listener, what_if,
        )
    }

    /// The value of a key, and counts a hit or a miss.
    ///
    /// Args:
    ///     key: The key.
    ///     default: What is returned if it is not there.
    ///
    /// Returns:
    ///     The value, or the default.
    ///
    /// Raises:
    ///     TypeError: If the key cannot be hashed.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> Cache(10).get("nobody", 0)
    ///     0
    #[pyo3(signature = (key, default=None))]
    #[inline]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.look_up(key, hash(key)?)?.or(default))
    }

    #[inline]
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.look_up(key, hash(key)?)? {
            Some(value) => Ok(value),
            None => Err(missing(key)),
        }
    }

    #[inline]
    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.write(key, hash(key)?, value, None, &[], Origin::User(None))
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.invalidate(key)? {
            return Ok(());
        }
        Err(missing(key))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let now = self.now_if_needed(key.py())?;
        self.at(key, hash(key)?, |store, _, place, left| {
            store.valid(place, now, left).is_some()
        })
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.fresh(py, |store, _| store.entries())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let now = self.now_if_needed(py)?;
        let keys: Vec<Py<PyAny>> = {
            let store = self.core().lock();
            store.iter(now).map(|(key, _)| key.clone_ref(py)).collect()
        };
        PyList::new(py, keys)?.try_iter()
    }

    /// Keys and values as they are, without counting hits.
    fn _items(&self, py: Python<'_>) -> PyResult<Vec<(Py<PyAny>, Py<PyAny>)>> {
        let now = self.now_if_needed(py)?;
        let store = self.core().lock();
        let pairs = store.iter(now);
        Ok(pairs
            .map(|(key, value)| (key.clone_ref(py), value.clone_ref(py)))
            .collect())
    }

    /// Writes a value under a key.
    ///
    /// Args:
    ///     key: The key.
    ///     value: The value.
    ///     ttl: Seconds that this entry lives, instead of the cache's own; `math.inf` for
    ///         no end.
    ///     tags: A string or several, for `invalidate_tag()`.
    ///     weight: What it weighs, instead of what the weigher says.
    ///
    /// Raises:
    ///     TypeError: If the key cannot be hashed, or an argument is of the wrong kind.
    ///     ValueError: If `ttl` or the weight is negative.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(100)
    ///     >>> cache.set("user:7", "Ada", ttl=60, tags="users")
    ///     >>> cache["user:7"]
    ///     'Ada'
    #[pyo3(signature = (key, value, *, ttl=None, tags=None, weight=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
        weight: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let tags = arguments::tags(tags)?;
        let weight = weight.map(arguments::weight).transpose()?;
        self.write(
            key,
            hash(key)?,
            value,
            life(ttl)?,
            &tags,
            Origin::User(weight),
        )
    }

    /// The value of a key, which is computed if it is not there: once, however many ask.
    ///
    /// The others wait for it, threads and tasks alike. An error that the factory raises
    /// reaches all of them, and is not kept. Who is interrupted, by Ctrl-C for one, leaves
    /// the computation to the next.
    ///
    /// Args:
    ///     key: The key.
    ///     factory: Called without arguments for the value.
    ///     ttl: Seconds that the entry lives, instead of the cache's own.
    ///     tags: A string or several, for `invalidate_tag()`.
    ///
    /// Returns:
    ///     The value.
    ///
    /// Raises:
    ///     RecursiveLoad: If the caller would wait for itself.
    ///     TypeError: If the key cannot be hashed.
    ///     Exception: What the factory raised.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(100)
    ///     >>> cache.get_or_set("answer", lambda: 42)
    ///     42
    #[pyo3(signature = (key, factory, *, ttl=None, tags=None))]
    fn get_or_set(
        &self,
        key: &Bound<'_, PyAny>,
        factory: &Bound<'_, PyAny>,
        ttl: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let hash = hash(key)?;
        if let Some(value) = self.look_up(key, hash)? {
            return Ok(value.unbind());
        }
        let (ttl, tags) = (life(ttl)?, arguments::tags(tags)?);
        self.load(key, hash, || factory.call0(), ttl, &tags)
    }

    /// The value of a key if it is there; counts hits, but no misses.
    fn _found<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.found(key)
    }

    /// A seat at a missing value, for a task of an event loop. `anew`: nobody who came earlier
    /// computes it for those who ask from now on.
    #[pyo3(signature = (key, task, ttl=None, tags=None, anew=false))]
    fn _load(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        task: u64,
        ttl: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
        anew: bool,
    ) -> PyResult<(Load, Vec<String>)> {
        life(ttl)?;
        let tags = arguments::tags(tags)?;
        let agent = Agent::here(task);
        let hash = hash(key)?;
        if anew {
            slf.get().overrule_key(key, hash)?;
        }
        let seat = slf.get().board(key, hash, agent, &tags)?;
        Ok((Load::new(slf.clone().unbind(), seat, agent), tags))
    }

    /// Removes a key and returns its value.
    ///
    /// Args:
    ///     key: The key.
    ///     default: What is returned if it is not there.
    ///
    /// Returns:
    ///     The value, or the default.
    ///
    /// Raises:
    ///     KeyError: If it is not there and no default is given.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> Cache(10).pop("nobody", 0)
    ///     0
    #[pyo3(signature = (key, default=None), text_signature = "($self, key, default=...)")]
    fn pop<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = given)] default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let now = self.now_if_needed(key.py())?;
        let hash = hash(key)?;
        let value = self.change(key, hash, |store, hash, place, left| {
            let Some(place) = store.valid(place, now, left) else {
                store.removed_nothing(hash);
                return None;
            };
            let value = store.peek(place, now)?.bind(key.py()).clone();
            store.remove(place, Cause::Explicit, left);
            Some(value)
        })?;
        value.or(default).ok_or_else(|| missing(key))
    }

    /// Removes the entry that would be evicted next, or one like it.
    ///
    /// Returns:
    ///     Its key and its value.
    ///
    /// Raises:
    ///     KeyError: If the cache is empty.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(10)
    ///     >>> cache["a"] = 1
    ///     >>> cache.popitem()
    ///     ('a', 1)
    fn popitem(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let pair = self.fresh(py, |store, left| {
            let place = store.coldest()?;
            let (key, value) = store.pair(place)?;
            let pair = (key.clone_ref(py), value.clone_ref(py));
            store.remove(place, Cause::Explicit, left);
            Some(pair)
        })?;
        pair.ok_or_else(|| PyKeyError::new_err("the cache is empty"))
    }

    /// The value of a key, or the default, which is written if it is not there.
    ///
    /// Args:
    ///     key: The key.
    ///     default: What is written.
    ///
    /// Returns:
    ///     The value that is there now.
    ///
    /// Raises:
    ///     TypeError: If the key cannot be hashed.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> Cache(10).setdefault("a", 1)
    ///     1
    #[pyo3(signature = (key, default=None))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let hash = hash(key)?;
        if let Some(value) = self.look_up(key, hash)? {
            return Ok(value);
        }
        let default = default.unwrap_or_else(|| key.py().None().into_bound(key.py()));
        self.write_new(key, hash, &default)
    }

    /// Removes a key.
    ///
    /// Args:
    ///     key: The key.
    ///
    /// Returns:
    ///     Whether it was there.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> Cache(10).invalidate("nobody")
    ///     False
    fn invalidate(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let now = self.now_if_needed(key.py())?;
        let hash = hash(key)?;
        self.change(key, hash, |store, hash, place, left| {
            let place = store.valid(place, now, left);
            match place {
                Some(place) => store.remove(place, Cause::Explicit, left),
                None => store.removed_nothing(hash),
            }
            place.is_some()
        })
    }

    /// Removes the keys that begin with a text, or with bytes. It looks at every key.
    ///
    /// Args:
    ///     prefix: A string, for keys that are strings, or bytes for those that are bytes.
    ///
    /// Returns:
    ///     How many there were.
    ///
    /// Raises:
    ///     TypeError: If the prefix is neither.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(10)
    ///     >>> cache.update({"user:1": 1, "user:2": 2, "page:1": 3})
    ///     >>> cache.invalidate_prefix("user:")
    ///     2
    fn invalidate_prefix(&self, prefix: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = prefix.py();
        let prefix = Prefix::new(prefix)?;
        let now = self.now_if_needed(py)?;
        self.change_all(
            py,
            |flights, left| {
                flights.remove_where(|key| prefix.fits(key.bind(py)), left);
            },
            |store, left| {
                store.expire(now, usize::MAX, left);
                store.remove_where(|key| prefix.fits(key.bind(py)), left)
            },
        )
    }

    /// Removes the entries that were written with a tag.
    ///
    /// Args:
    ///     tag: The tag.
    ///
    /// Returns:
    ///     How many there were.
    ///
    /// Raises:
    ///     TypeError: If the tag is no string.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(10)
    ///     >>> cache.set("a", 1, tags=["letters", "vowels"])
    ///     >>> cache.invalidate_tag("vowels")
    ///     1
    fn invalidate_tag(&self, tag: &Bound<'_, PyString>) -> PyResult<usize> {
        let text = tag.to_str()?;
        let now = self.now_if_needed(tag.py())?;
        self.change_all(
            tag.py(),
            |flights, left| {
                flights.remove_tagged(text, left);
            },
            |store, left| {
                store.expire(now, usize::MAX, left);
                store.remove_tagged(text, left)
            },
        )
    }

    /// Removes everything; the counts stay.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(10)
    ///     >>> cache["a"] = 1
    ///     >>> cache.clear()
    ///     >>> len(cache)
    ///     0
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.change_all(py, Store::clear, Store::clear)
    }

    /// Removes everything, and counts from zero; as `functools.lru_cache` has it.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> cache = Cache(10)
    ///     >>> cache.cache_clear()
    fn cache_clear(&self, py: Python<'_>) -> PyResult<()> {
        self.change_all(py, Store::clear, |store, left| {
            store.clear(left);
            store.reset_counts();
        })?;
        self.loads.reset();
        Ok(())
    }

    /// Removes all that has expired. Apart from that, counts and sizes are always exact.
    ///
    /// Example:
    ///     >>> from nexus_core import Cache
    ///     >>> Cache(10).sync()
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.fresh(py, |_, _| ())
    }

    /// What the entries together weigh at most; `None` for no limit.
    #[getter]
    fn maxsize(&self) -> Option<u64> {
        self.limits.max_weight
    }

    /// What the entries together weigh: their number, where there is no weigher.
    #[getter]
    fn currsize(&self, py: Python<'_>) -> PyResult<u64> {
        self.fresh(py, |store, _| store.weight())
    }

    /// Seconds that an entry lives; `None` for no limit.
    #[getter]
    fn ttl(&self) -> Option<f64> {
        self.ttl.map(arguments::seconds)
    }

    /// Seconds after which an entry that is not used expires; `None` for no limit.
    #[getter]
    fn tti(&self) -> Option<f64> {
        self.limits.idle.map(arguments::seconds)
    }

    /// What other sizes would have done; `None` where that is not asked.
    #[allow(clippy::needless_pass_by_value)] // PyO3 extracts it
    fn _what_if<'py>(
        &self,
        py: Python<'py>,
        sizes: Vec<u64>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let report = self.core().lock().what_if(&sizes);
        report
            .map(|report| what_if::as_dict(py, &report))
            .transpose()
    }

    fn _statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.now(py)?;
        let (counts, gauges) = self.whole(py, |store, left| {
            store.expire(now, usize::MAX, left);
            (store.counts(), store.gauges(now))
        })?;
        let dict = PyDict::new(py);
        dict.set_item("entries", gauges.entries)?;
        dict.set_item("currsize", gauges.weight)?;
        dict.set_item("maxsize", self.limits.max_weight)?;
        dict.set_item("hits", counts.hits)?;
        dict.set_item("misses", counts.misses)?;
        dict.set_item("insertions", counts.insertions)?;
        dict.set_item("replaced", counts.replaced)?;
        dict.set_item("evicted", counts.evicted)?;
        dict.set_item("expired", counts.expired)?;
        dict.set_item("invalidated", counts.invalidated)?;
        let loads = &self.loads;
        dict.set_item("load_failures", loads.failures.load(Ordering::Relaxed))?;
        dict.set_item("load_waits", loads.waits.load(Ordering::Relaxed))?;
        dict.set_item("oldest", arguments::seconds(gauges.oldest))?;
        dict.set_item("mean_age", arguments::seconds(gauges.mean_age))?;
        dict.set_item("load", durations(py, &loads.took.snapshot())?)?;
        Ok(dict)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.traverse(&visit)
    }

    fn __clear__(&self) {
        self.forget();
    }
}
