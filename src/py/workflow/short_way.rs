//! The short way of runs that an event loop's own thread executes: what can have
//! changed since somebody has looked closely is asked here, and a run that needs
//! nothing of Python beside its nodes is one call.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType, PyWeakrefReference};

use crate::core::locks::Mutex;
use crate::py::engine::{Ask, Places};

use super::figures::Figures;
use super::options::RunOptions;
use super::outcome::Short;
use super::plan::WorkflowPlan;
use super::quiet::{Listeners, Quiet};
use super::run_ids::new_run_id;
use super::variables::variable_value;
use super::watch::{tag, version};

/// What the short way of one runtime asks Python for.
#[derive(FromPyObject)]
struct Surroundings {
    workflow_class: Py<PyType>,
    /// A context variable that is set where Kailash would have more to do.
    trust: Py<PyAny>,
    /// A context variable with the places that the calling node has.
    inside: Py<PyAny>,
    /// Plans by workflow's address and `awaits`, each with a weak reference to the workflow.
    plans: Py<PyDict>,
    awaits: Py<PyAny>,
    /// Makes the host of a run, once it is needed.
    make_host: Py<PyAny>,
    /// Told of each run's workflow, seconds and success, if that reaches anybody.
    account: Py<PyAny>,
}

/// A runtime about which nothing has to be delegated.
struct Known {
    variables: u64,
    class: u64,
    options: RunOptions,
    /// Branches are pruned, which needs more.
    prunes: bool,
    /// Nodes that say so are cached, which needs more.
    caches: bool,
    places: Py<Places>,
    hooks: Py<PyAny>,
    /// What counts the runs, if anything does.
    figures: Option<Py<Figures>>,
}

impl Known {
    /// Whether no attribute of the runtime has been set since, nor one of its class.
    fn holds(&self, runtime: &Bound<'_, PyAny>, variables: &Bound<'_, PyDict>) -> bool {
        self.variables != 0
            && self.class != 0
            && self.variables == version(variables)
            && self.class == tag(&runtime.get_type())
    }
}

/// Whether a runtime, a workflow and the process are such that a run needs nothing
/// beside its nodes; and such runs.
#[pyclass(frozen, module = "nexus_core")]
pub(crate) struct ShortWay {
    around: Surroundings,
    quiet: Quiet,
    known: Mutex<Option<Arc<Known>>>,
    runs: AtomicU64,
    /// Seconds, as the bits of a float.
    on_loop: AtomicU64,
}

#[pymethods]
impl ShortWay {
    #[new]
    fn new(around: Surroundings, listeners: Listeners) -> Self {
        Self {
            around,
            quiet: Quiet::new(listeners),
            known: Mutex::new(None),
            runs: AtomicU64::new(0),
            on_loop: AtomicU64::new(0),
        }
    }

    /// Nothing about `runtime`, whose attributes are `variables`, has to be delegated.
    /// `options`: of its runs, or `None` if it needs more; `prunes`: whether workflows
    /// with switches do; `caches`: whether those do whose nodes say that they are cached.
    fn renew(
        &self,
        runtime: &Bound<'_, PyAny>,
        variables: &Bound<'_, PyDict>,
        options: Option<&Bound<'_, RunOptions>>,
        prunes: bool,
        caches: bool,
    ) -> PyResult<()> {
        let py = runtime.py();
        let known = match options {
            None => None,
            Some(options) => Some(Arc::new(Known {
                options: *options.get(),
                prunes,
                caches,
                places: runtime.getattr(intern!(py, "_places"))?.extract()?,
                hooks: runtime.getattr(intern!(py, "_hook_registry"))?.unbind(),
                figures: runtime.getattr(intern!(py, "_figures"))?.extract()?,
                variables: version(variables),
                class: tag(&runtime.get_type()),
            })),
        };
        let old = std::mem::replace(&mut *self.known.lock(), known);
        drop(old);
        Ok(())
    }

    /// Runs a workflow on the calling thread, an event loop's, if it may take the short
    /// way. Returns `None` if not; its results and the run's id; or, if the rest is left
    /// to workers, the run's host and the seconds that it has taken so far. Raises what a
    /// node raised, as its host would have it.
    fn attempt<'py>(
        &self,
        runtime: &Bound<'py, PyAny>,
        workflow: &Bound<'py, PyAny>,
        inputs: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = runtime.py();
        let Some(known) = self.still_known(runtime, &attributes_of(runtime)?)? else {
            return Ok(None);
        };
        let Ok(inputs) = inputs.cast_exact::<PyDict>() else {
            return Ok(None);
        };
        if !workflow.get_type().is(&self.around.workflow_class) {
            return Ok(None);
        }
        let Some((compiled, plan)) = self.plan_of(workflow, &known)? else {
            return Ok(None);
        };
        let heard = self.quiet.heard(py)?;
        if heard.logs {
            return Ok(None);
        }
        let began = Instant::now();
        self.runs.fetch_add(1, Ordering::Relaxed);
        let inputs = inputs.copy()?;
        let host = [runtime, workflow, &compiled, inputs.as_any()];
        let host = host.map(|part| part.clone().unbind());
        let make_host = self.around.make_host.clone_ref(py);
        let places = known.places.bind(py).clone();
        let figures = known.figures.as_ref();
        let figures = figures.map(|figures| figures.bind(py).clone());
        let options = known.options;
        let (outcome, elapsed) = plan.get().run_short(
            py, make_host, host, &inputs, options, places, figures, began,
        );
        let seconds = elapsed.as_secs_f64();
        self.add(seconds);
        if let Ok(Short::Left(host)) = outcome {
            return (host, seconds).into_pyobject(py).map(Some);
        }
        // A node may have made somebody listen.
        if heard.end || self.quiet.heard(py)?.end {
            let account = self.around.account.bind(py);
            account.invoke((workflow, seconds, outcome.is_ok()))?;
        }
        let (Short::Finished(results) | Short::Left(results)) = outcome?;
        (results, new_run_id()).into_pyobject(py).map(Some)
    }

    /// Runs that have taken the short way.
    #[getter]
    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Seconds for which short runs have kept a loop since this was last set.
    #[getter]
    fn on_loop(&self) -> f64 {
        f64::from_bits(self.on_loop.load(Ordering::Relaxed))
    }

    #[setter]
    fn set_on_loop(&self, seconds: f64) {
        self.on_loop.store(seconds.to_bits(), Ordering::Relaxed);
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        // The rest are modules' own, for the life of the process.
        visit.call(&self.around.make_host)?;
        visit.call(&self.around.account)?;
        let Some(known) = self.known.try_lock() else {
            return Ok(());
        };
        // What a run beside this one holds, too, is out of the collector's sight.
        if let Some(known) = known.as_ref().filter(|known| Arc::strong_count(known) == 1) {
            visit.call(&known.places)?;
            visit.call(&known.hooks)?;
        }
        Ok(())
    }
}

impl ShortWay {
    /// What is known of a runtime, if it has not changed since, and nobody has to be
    /// asked or told in the calling context.
    fn still_known(
        &self,
        runtime: &Bound<'_, PyAny>,
        variables: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Arc<Known>>> {
        let py = runtime.py();
        let known = self.known.lock().clone();
        let Some(known) = known.filter(|known| known.holds(runtime, variables)) else {
            return Ok(None);
        };
        let is_open = is_unset(self.around.trust.bind(py))?
            // A node that has a place itself must not wait for another.
            && is_unset(self.around.inside.bind(py))?
            && !known
                .hooks
                .bind(py)
                .getattr(intern!(py, "subscriber_count"))?
                .is_truthy()?;
        Ok(is_open.then_some(known))
    }

    /// The plan of a workflow that has not changed, if its runs are short and need nothing
    /// but their nodes.
    fn plan_of<'py>(
        &self,
        workflow: &Bound<'py, PyAny>,
        known: &Known,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, WorkflowPlan>)>> {
        let py = workflow.py();
        let key = (workflow.as_ptr() as usize, &self.around.awaits);
        let Some(entry) = self.around.plans.bind(py).get_item(key)? else {
            return Ok(None);
        };
        let (reference, compiled): (Bound<'py, PyAny>, Bound<'py, PyAny>) = entry.extract()?;
        let reference = reference.cast_into::<PyWeakrefReference>()?;
        if !reference.upgrade().is_some_and(|own| own.is(workflow)) {
            return Ok(None);
        }
        let plan = compiled.getattr(intern!(py, "plan"))?;
        let plan = plan.cast_into::<WorkflowPlan>()?;
        let truth = |name| compiled.getattr(name)?.is_truthy();
        if !plan.get().is_short()
            || !truth(intern!(py, "fits_short_way"))?
            || (known.prunes && truth(intern!(py, "switch_count"))?)
            || (known.caches && truth(intern!(py, "cacheable_nodes"))?)
            || !plan.get().is_current(py)?
        {
            return Ok(None);
        }
        Ok(Some((compiled, plan)))
    }

    fn add(&self, seconds: f64) {
        // Of one loop; where several share a runtime, some may be lost.
        let total = self.on_loop() + seconds;
        self.on_loop.store(total.to_bits(), Ordering::Relaxed);
    }
}

/// The attributes that an object has itself. Its class, which may have many bases, is not
/// searched for a `__dict__`.
pub(super) fn attributes_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    // SAFETY: attached; the call returns a new reference, or null with an error set.
    let attributes = unsafe {
        let attributes = ffi::PyObject_GenericGetDict(object.as_ptr(), ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), attributes)?
    };
    Ok(attributes.cast_into()?)
}

/// Whether a context variable is `None`, or has no value, in the calling context.
pub(super) fn is_unset(variable: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(variable_value(variable)?.is_none_or(|value| value.is_none()))
}
