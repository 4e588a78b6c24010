//! Takes down node events in bounded memory.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::core::locks::Mutex;
use crate::core::threads::fork_generation;

use super::names::Names;
use super::runs::{RunId, RunRecord, Shape, Workflows};

/// Threads that share a buffer at the most where there are as many threads.
const SHARDS: usize = 32;

/// Events that a buffer grows by: it is never copied, and what is unused of all
/// buffers is little.
const CHUNK: usize = 1024;

/// Distinct types of errors that are kept by name.
const MOST_ERRORS: usize = 1000;

/// The run of an event that is not kept.
const NOT_KEPT: u32 = u32::MAX;

/// How a node or a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Completed = 0,
    Failed = 1,
    Skipped = 2,
    /// What an earlier run has left was taken over.
    Cached = 3,
    Cancelled = 4,
    /// It has not ended.
    Running = 5,
}

impl Status {
    /// How a node ended, by its number; `None` for one that is of no end.
    pub fn of_end(number: u8) -> Option<Self> {
        let ends = [
            Self::Completed,
            Self::Failed,
            Self::Skipped,
            Self::Cached,
            Self::Cancelled,
        ];
        ends.into_iter().find(|&end| end as u8 == number)
    }
}

/// One execution of a node. Times are nanoseconds since the trace began.
#[derive(Clone, Copy, Debug)]
pub struct NodeEvent {
    pub ready: u64,
    pub start: u64,
    pub end: u64,
    /// Spent waiting for the interpreter's lock before the start.
    pub waited: u64,
    pub run: u32,
    pub node: u32,
    thread: u32,
    /// The number of the error's name, above the status.
    ending: u32,
}

/// A thread that events are of.
#[derive(Clone, Debug)]
pub struct Thread {
    pub name: String,
    /// The system's number for it, zero where there is none.
    pub os_id: u64,
}

type Buffer = Vec<Vec<NodeEvent>>;

/// A workflow's name, its shape, and what else is to be said of its runs.
type Described = (String, Arc<Shape>, Option<String>);

/// Everything about the events, a column each.
#[derive(Debug, Default)]
pub struct Columns {
    pub run: Vec<u32>,
    pub node: Vec<u32>,
    pub thread: Vec<u32>,
    pub ready: Vec<f64>,
    pub start: Vec<f64>,
    pub end: Vec<f64>,
    pub waited: Vec<f64>,
    pub status: Vec<u8>,
    /// The number of the error's name, from one; zero for none.
    pub error: Vec<u32>,
}

thread_local! {
    /// The recorder that the calling thread last wrote to, and its number there.
    static HERE: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

static RECORDERS: AtomicU64 = AtomicU64::new(0);

/// A trace while it is taken.
pub struct Recorder {
    number: u64,
    began: Instant,
    is_stopped: AtomicBool,
    /// A child process leaves its parent's trace alone.
    generation: u64,
    most: u64,
    /// Events, runs, and nodes and edges of workflows that are kept, together.
    kept: AtomicU64,
    dropped: AtomicU64,
    buffers: Box<[Mutex<Buffer>]>,
    threads: Mutex<Vec<Thread>>,
    errors: Mutex<Names>,
    runs: Mutex<(Vec<RunRecord>, Workflows)>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Recorder {
    /// Keeps at most so many events; runs and workflows count as events, too. What
    /// comes later is dropped and counted.
    pub fn new(most: u64) -> Self {
        Self {
            number: RECORDERS.fetch_add(1, Ordering::Relaxed) + 1,
            began: Instant::now(),
            is_stopped: AtomicBool::new(false),
            generation: fork_generation(),
            most,
            kept: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            buffers: (0..SHARDS).map(|_| Mutex::default()).collect(),
            threads: Mutex::default(),
            errors: Mutex::new(Names::new(MOST_ERRORS)),
            runs: Mutex::default(),
        }
    }

    /// Nanoseconds since the trace began.
    pub fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    /// The same for a moment that was taken down elsewhere; zero for one before.
    pub fn at(&self, moment: Instant) -> u64 {
        nanos(moment.saturating_duration_since(self.began))
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// Takes nothing down any more.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire) || self.generation != fork_generation()
    }

    /// Events of nodes that were not kept, because there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn has_room_for(&self, more: u64) -> bool {
        let room = self
            .kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
                (kept + more <= self.most).then_some(kept + more)
            });
        room.is_ok()
    }

    /// The number of an error's name.
    pub fn error(&self, name: &str) -> u32 {
        self.errors.lock().number(name)
    }

    /// The calling thread's number; `describe` is asked the first time.
    pub fn thread(&self, describe: impl FnOnce() -> Thread) -> u32 {
        let (recorder, number) = HERE.get();
        if recorder == self.number {
            return number;
        }
        // Outside the lock: it may run anything.
        let number = self.thread_of(describe());
        HERE.set((self.number, number));
        number
    }

    /// The number of a thread, which may be of another process.
    pub fn thread_of(&self, thread: Thread) -> u32 {
        let mut threads = self.threads.lock();
        let known = threads.iter().position(|known| {
            thread.os_id != 0 && known.os_id == thread.os_id && known.name == thread.name
        });
        let number = known.unwrap_or_else(|| {
            threads.push(thread);
            threads.len() - 1
        });
        number as u32
    }

    /// A run was not needed: what an earlier one has left was handed out, which took so long.
    pub fn answered(&self, name: &str, note: &str, took: Duration, id: Option<RunId>) {
        let nothing = Shape {
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        let run = self.begin_run(name, &Arc::new(nothing), Some(note), None);
        if run == NOT_KEPT {
            return;
        }
        if let Some(record) = self.runs.lock().0.get_mut(run as usize) {
            record.began = record.began.saturating_sub(nanos(took));
        }
        self.end_run(run, Status::Cached, 0, id);
    }

    /// A run begins; returns its number.
    pub fn begin_run(
        &self,
        name: &str,
        shape: &Arc<Shape>,
        note: Option<&str>,
        id: Option<RunId>,
    ) -> u32 {
        if self.is_stopped() || !self.has_room_for(1) {
            return NOT_KEPT;
        }
        let mut runs = self.runs.lock();
        let (runs, workflows) = &mut *runs;
        let (workflow, units) = workflows.index(name, shape, note);
        // Those that were the last to find room may make it a few more.
        self.kept.fetch_add(units as u64, Ordering::Relaxed);
        runs.push(RunRecord {
            workflow,
            id,
            began: self.now(),
            ended: None,
            status: Status::Running,
            error: 0,
        });
        runs.len() as u32 - 1
    }

    /// A run has ended. The id counts if it was not known before.
    pub fn end_run(&self, run: u32, status: Status, error: u32, id: Option<RunId>) {
        if self.is_stopped() {
            return;
        }
        let now = self.now();
        if let Some(record) = self.runs.lock().0.get_mut(run as usize) {
            record.ended = Some(now);
            record.status = status;
            record.error = error;
            record.id = id.or(record.id.take());
        }
    }

    /// A node has ended on the thread of that number.
    pub fn record(&self, event: &NodeEvent, thread: u32, status: Status, error: u32) {
        if self.is_stopped() {
            return;
        }
        if event.run == NOT_KEPT || !self.has_room_for(1) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let event = NodeEvent {
            thread,
            ending: error << 8 | status as u32,
            ..*event
        };
        let mut buffer = self.buffers[thread as usize % SHARDS].lock();
        match buffer.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(event),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(event);
                buffer.push(chunk);
            }
        }
    }

    /// Events that are kept now.
    pub fn len(&self) -> usize {
        let lengths = self
            .buffers
            .iter()
            .map(|buffer| buffer.lock().iter().map(Vec::len).sum::<usize>());
        lengths.sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the events' buffers.
    pub fn bytes(&self) -> usize {
        let chunks: usize = self.buffers.iter().map(|buffer| buffer.lock().len()).sum();
        chunks * CHUNK * size_of::<NodeEvent>()
    }

    pub fn threads(&self) -> Vec<Thread> {
        self.threads.lock().clone()
    }

    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().all()
    }

    /// Events in the order in which they started, times in seconds.
    pub fn columns(&self) -> Columns {
        const NANO: f64 = 1e-9;
        let mut events = Vec::with_capacity(self.len());
        for buffer in &self.buffers {
            for chunk in &*buffer.lock() {
                events.extend_from_slice(chunk);
            }
        }
        events.sort_by_key(|event| (event.start, event.end));
        Columns {
            run: events.iter().map(|event| event.run).collect(),
            node: events.iter().map(|event| event.node).collect(),
            thread: events.iter().map(|event| event.thread).collect(),
            ready: events.iter().map(|e| e.ready as f64 * NANO).collect(),
            start: events.iter().map(|e| e.start as f64 * NANO).collect(),
            end: events.iter().map(|e| e.end as f64 * NANO).collect(),
            waited: events.iter().map(|e| e.waited as f64 * NANO).collect(),
            status: events.iter().map(|event| event.ending as u8).collect(),
            error: events.iter().map(|event| event.ending >> 8).collect(),
        }
    }

    /// Calls with each run, the index of its workflow, and the number of its
    /// error's name; then with each workflow.
    pub fn read_runs<R>(
        &self,
        mut run: impl FnMut(&RunRecord, u32, u32) -> R,
    ) -> (Vec<R>, Vec<Described>) {
        let runs = self.runs.lock();
        let (records, workflows) = &*runs;
        let records = records
            .iter()
            .map(|record| run(record, record.workflow, record.error))
            .collect();
        let workflows = workflows.all.iter().map(|(name, shape, note)| {
            let note = note.as_deref().map(str::to_owned);
            (name.to_string(), Arc::clone(shape), note)
        });
        (records, workflows.collect())
    }
}

impl NodeEvent {
    /// What is known at a node's end, beside how it ended.
    pub fn new(run: u32, node: u32, ready: u64, start: u64, end: u64, waited: u64) -> Self {
        Self {
            ready,
            start,
            end,
            waited,
            run,
            node,
            thread: 0,
            ending: 0,
        }
    }
}
