//! Drives a run of the core's scheduler with nodes that need the interpreter.

mod collections;
mod confirmed;
mod context;
mod drive;
mod hang;
mod lock_wait;
mod loop_places;
mod mailbox;
mod places;
mod program;
mod recruiter;
mod run_watch;
mod served;
mod sites;
mod slots;
mod trace;
mod workers;

pub(crate) use collections::collection;
pub(crate) use context::RunContext;
pub(crate) use drive::{Driven, Execution, Limits, StopReason};
pub(crate) use hang::{Ask, call_object, eval_code, vectorcall};
pub(crate) use lock_wait::take_wait;
pub(crate) use mailbox::LoopMailbox;
pub(crate) use places::Places;
pub(crate) use program::Program;
pub(crate) use served::{Inline, ServiceTerms};
pub(crate) use sites::{Site, Step};
pub(crate) use slots::Slots;
pub(crate) use trace::Trace;
pub(crate) use workers::{close_workers, name_thread};
