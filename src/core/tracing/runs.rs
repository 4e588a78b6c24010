//! The runs of a trace, and what their workflows look like.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::recorder::Status;

/// A workflow as a trace shows it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Each node's id and type.
    pub nodes: Vec<(String, String)>,
    /// By index, from source to target.
    pub edges: Vec<(u32, u32)>,
}

/// Who a run is. Most ids are UUIDs, of which the digits suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunId {
    Uuid(u128),
    Text(Box<str>),
}

impl RunId {
    pub fn new(text: &str) -> Self {
        let digits: String = text.chars().filter(|each| *each != '-').collect();
        match u128::from_str_radix(&digits, 16) {
            Ok(value) if Self::Uuid(value).to_string() == text => Self::Uuid(value),
            _ => Self::Text(text.into()),
        }
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Uuid(value) => {
                let digits = format!("{value:032x}");
                let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
                formatter.write_str(&parts.join("-"))
            }
        }
    }
}

/// One run. Times are nanoseconds since the trace began.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Index of its workflow's name and shape.
    pub(super) workflow: u32,
    pub id: Option<RunId>,
    pub began: u64,
    /// `None` while it has not ended.
    pub ended: Option<u64>,
    pub status: Status,
    pub(super) error: u32,
}

/// A workflow's name, its shape, and what else is to be said of its runs.
type Workflow = (Box<str>, Arc<Shape>, Option<Box<str>>);

/// Workflows by what they look like: one that is built again for each run is
/// kept once.
#[derive(Default)]
pub(super) struct Workflows {
    known: HashMap<u64, Vec<u32>>,
    pub(super) all: Vec<Workflow>,
}

impl Workflows {
    /// The index of a workflow, and how many nodes and edges have come with it.
    pub(super) fn index(
        &mut self,
        name: &str,
        shape: &Arc<Shape>,
        note: Option<&str>,
    ) -> (u32, usize) {
        let mut hasher = DefaultHasher::new();
        (name, shape, note).hash(&mut hasher);
        let same = self.known.entry(hasher.finish()).or_default();
        for &index in same.iter() {
            let (its_name, its_shape, its_note) = &self.all[index as usize];
            if **its_name == *name && its_shape == shape && its_note.as_deref() == note {
                return (index, 0);
            }
        }
        let index = self.all.len() as u32;
        same.push(index);
        self.all
            .push((name.into(), Arc::clone(shape), note.map(Into::into)));
        (index, 1 + shape.nodes.len() + shape.edges.len())
    }
}
