//! The figures of one runtime: of its workflows, and of what they share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::core::locks::Mutex;
use crate::core::tracing::Shape;

use super::OTHER;
use super::sparse::SparseHistogram;
use super::workflow::{Active, WorkflowFigures, WorkflowTotals};

/// Workflows with figures of their own.
pub const MOST_WORKFLOWS: usize = 256;

/// Nodes with figures of their own, of all workflows together.
pub const MOST_NODES: usize = 20_000;

static RUNTIMES: AtomicU64 = AtomicU64::new(0);

/// Kept by a runtime.
pub struct RuntimeFigures {
    /// Which runtime's they are; no other ever has the number.
    pub number: u64,
    workflows: Mutex<Vec<Arc<WorkflowFigures>>>,
    others: Arc<WorkflowFigures>,
    pub active: Arc<Active>,
    pub loop_lag: SparseHistogram,
    made: Instant,
}

impl Default for RuntimeFigures {
    fn default() -> Self {
        let nothing = Shape {
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        let active = Arc::<Active>::default();
        Self {
            number: RUNTIMES.fetch_add(1, Ordering::Relaxed) + 1,
            workflows: Mutex::default(),
            others: Arc::new(WorkflowFigures::new(
                OTHER,
                Arc::new(nothing),
                0,
                Arc::clone(&active),
            )),
            active,
            loop_lag: SparseHistogram::default(),
            made: Instant::now(),
        }
    }
}

impl RuntimeFigures {
    /// The figures of a workflow. Whoever runs it keeps them; those that nobody keeps
    /// any more make room for others, and are added to one of the same name or to `other`.
    pub fn of(&self, name: &str, shape: &Arc<Shape>) -> Arc<WorkflowFigures> {
        let mut workflows = self.workflows.lock();
        let same_name = |known: &Arc<WorkflowFigures>| known.name == name;
        if let Some(known) = workflows
            .iter()
            .find(|known| same_name(known) && known.shape() == shape)
        {
            return Arc::clone(known);
        }
        let is_gone = |known: &Arc<WorkflowFigures>| Arc::strong_count(known) == 1;
        let before = workflows
            .iter()
            .position(|known| same_name(known) && is_gone(known));
        let before = before.map(|place| workflows.remove(place));
        if before.is_none() && workflows.len() >= MOST_WORKFLOWS {
            let Some(place) = workflows.iter().position(is_gone) else {
                return Arc::clone(&self.others);
            };
            let gone = workflows.remove(place);
            self.others.fold(&gone);
        }
        let kept: usize = workflows.iter().map(|known| known.known_nodes()).sum();
        let room = MOST_NODES.saturating_sub(kept);
        let fresh = Arc::new(WorkflowFigures::new(
            name,
            Arc::clone(shape),
            room,
            Arc::clone(&self.active),
        ));
        if let Some(before) = before {
            fresh.fold(&before);
        }
        workflows.push(Arc::clone(&fresh));
        fresh
    }

    /// All workflows of which there is anything to tell.
    pub fn workflows(&self) -> Vec<Arc<WorkflowFigures>> {
        let mut all = self.workflows.lock().clone();
        all.push(Arc::clone(&self.others));
        all.retain(|figures| !figures.is_empty());
        all
    }

    /// The runs of each workflow that has had any, by name. Read at a time at which none is
    /// being folded into another, so that their sums never shrink.
    pub fn totals(&self) -> Vec<(String, WorkflowTotals)> {
        let workflows = self.workflows.lock();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut found: Vec<(String, WorkflowTotals)> = Vec::new();
        for figures in workflows.iter().chain([&self.others]) {
            let place = *places.entry(figures.name.as_str()).or_insert_with(|| {
                found.push((figures.name.clone(), WorkflowTotals::default()));
                found.len() - 1
            });
            figures.add_to(&mut found[place].1);
        }
        drop(workflows);
        found.retain(|(_, totals)| totals.runs > 0);
        found
    }

    /// Since it was made.
    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunEnd;
    use super::*;

    fn shape(ids: &[&str]) -> Arc<Shape> {
        Arc::new(Shape {
            nodes: ids.iter().map(|&id| (id.into(), "T".into())).collect(),
            edges: Vec::new(),
        })
    }

    fn run(figures: &WorkflowFigures) {
        figures.ran(1_000_000, RunEnd::Completed);
        figures.went_through();
    }

    fn fail(figures: &WorkflowFigures, error: &str) {
        figures.run_failures.count(0, error, 1);
        figures.ran(1_000_000, RunEnd::Failed);
    }

    fn executions(figures: &WorkflowFigures) -> Vec<(String, u64)> {
        let nodes = figures.nodes();
        nodes.into_iter().map(|n| (n.id, n.executions)).collect()
    }

    #[test]
    fn a_workflow_that_is_built_again_has_the_same_figures() {
        let runtime = RuntimeFigures::default();
        run(&runtime.of("w", &shape(&["a"])));
        run(&runtime.of("w", &shape(&["a"])));
        let all = runtime.workflows();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].runs(), [2, 0, 0, 0]);
    }

    #[test]
    fn one_that_has_changed_goes_on_from_what_it_was() {
        let runtime = RuntimeFigures::default();
        let before = runtime.of("w", &shape(&["a", "b"]));
        run(&before);
        before.node_failed(1, "KeyError");
        before.took(0, Duration::from_micros(7), 1);
        drop(before);
        let now = runtime.of("w", &shape(&["c", "a"]));
        run(&now);
        assert_eq!(runtime.workflows().len(), 1);
        assert_eq!(now.runs(), [2, 0, 0, 0]);
        let expected = [("c", 1), ("a", 2), (OTHER, 1)].map(|(id, n)| (id.to_owned(), n));
        assert_eq!(executions(&now), expected);
        assert_eq!(now.node_failures.all(), [(2, "KeyError".into(), 1)]);
        assert_eq!(now.node_seconds(1).map(SparseHistogram::measured), Some(1));
    }

    #[test]
    fn answers_are_no_runs_and_stay_counted() {
        let runtime = RuntimeFigures::default();
        let only_answered = runtime.of("w", &shape(&[]));
        assert!(runtime.workflows().is_empty());
        only_answered.was_answered();
        only_answered.was_answered();
        assert_eq!(runtime.workflows().len(), 1);
        drop(only_answered);
        let now = runtime.of("w", &shape(&["a"]));
        now.was_answered();
        run(&now);
        assert_eq!((now.answered(), now.runs()), (3, [1, 0, 0, 0]));
        assert_eq!(executions(&now)[0], ("a".to_owned(), 1));
        assert_eq!(runtime.workflows().len(), 1);
    }

    #[test]
    fn workflows_beyond_the_bound_are_added_up() {
        let runtime = RuntimeFigures::default();
        for number in 0..3 * MOST_WORKFLOWS {
            run(&runtime.of(&format!("w{number}"), &shape(&["a", "b"])));
        }
        let all = runtime.workflows();
        assert_eq!(all.len(), MOST_WORKFLOWS + 1);
        let total: u64 = all.iter().map(|figures| figures.runs()[0]).sum();
        assert_eq!(total, 3 * MOST_WORKFLOWS as u64);
        let others = all.last().map(|others| executions(others));
        assert_eq!(
            others,
            Some(vec![(OTHER.into(), 4 * MOST_WORKFLOWS as u64)])
        );
    }

    #[test]
    fn totals_are_of_runs_alone_and_added_up_by_name() {
        let runtime = RuntimeFigures::default();
        let first = runtime.of("w", &shape(&["a"]));
        let second = runtime.of("w", &shape(&["b"]));
        let never = runtime.of("never", &shape(&["a"]));
        for figures in [&first, &first, &second] {
            run(figures);
            fail(figures, "KeyError");
        }
        fail(&second, "OSError");
        let expected = WorkflowTotals {
            runs: 7,
            failed: 4,
            duration: Duration::from_millis(7),
            failures: vec![("KeyError".into(), 3), ("OSError".into(), 1)],
        };
        assert_eq!(runtime.totals(), [("w".to_owned(), expected)]);
        assert!(never.is_empty());
    }

    #[test]
    fn totals_do_not_shrink_while_workflows_make_room_for_others() {
        let runtime = RuntimeFigures::default();
        let mut before = 0;
        for number in 0..2 * MOST_WORKFLOWS {
            run(&runtime.of(&format!("w{number}"), &shape(&["a"])));
            let now: u64 = runtime.totals().iter().map(|(_, totals)| totals.runs).sum();
            assert_eq!(now, before + 1);
            before = now;
        }
    }

    #[test]
    fn those_that_are_kept_are_not_taken_for_gone() {
        let runtime = RuntimeFigures::default();
        let kept: Vec<_> = (0..MOST_WORKFLOWS)
            .map(|number| runtime.of(&format!("w{number}"), &shape(&["a"])))
            .collect();
        run(&runtime.of("late", &shape(&["a"])));
        run(&kept[0]);
        let names: Vec<_> = runtime
            .workflows()
            .iter()
            .map(|figures| figures.name.clone())
            .collect();
        assert_eq!(names, ["w0", OTHER]);
    }

    #[test]
    fn nodes_beyond_the_bound_are_added_up() {
        let runtime = RuntimeFigures::default();
        let ids: Vec<String> = (0..MOST_NODES + 5).map(|i| format!("n{i}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let figures = runtime.of("w", &shape(&ids));
        run(&figures);
        let nodes = executions(&figures);
        assert_eq!(nodes.len(), MOST_NODES + 1);
        assert_eq!(nodes[MOST_NODES], (OTHER.into(), 5));
        figures.took(MOST_NODES as u32 + 3, Duration::from_secs(1), 1);
        assert!(figures.node_seconds(MOST_NODES).is_some());
    }

    #[test]
    fn runs_at_once_are_counted() {
        let runtime = RuntimeFigures::default();
        let active = &runtime.of("w", &shape(&["a"])).active;
        active.begin();
        active.begin();
        active.end();
        active.begin();
        assert_eq!(runtime.active.seen(), (2, 2));
        active.end();
        active.end();
        assert_eq!(runtime.active.seen(), (0, 2));
    }

    #[test]
    fn what_is_skipped_or_cached_was_not_executed() {
        let runtime = RuntimeFigures::default();
        let figures = runtime.of("w", &shape(&["a", "b", "c"]));
        for _ in 0..10 {
            run(&figures);
        }
        figures.skipped(1);
        figures.cached(2);
        figures.reached(0);
        let expected = [("a", 11), ("b", 9), ("c", 9), (OTHER, 0)];
        assert_eq!(
            executions(&figures),
            expected.map(|(id, n)| (id.to_owned(), n))
        );
    }
}
