use std::sync::Arc;
use std::time::Duration;

use super::{NodeEvent, Recorder, RunId, Shape, Status, Thread};

fn shape(nodes: usize) -> Arc<Shape> {
    Arc::new(Shape {
        nodes: (0..nodes).map(|i| (format!("n{i}"), "T".into())).collect(),
        edges: Vec::new(),
    })
}

fn here() -> Thread {
    Thread {
        name: "main".into(),
        os_id: 7,
    }
}

fn event(run: u32, start: u64) -> NodeEvent {
    NodeEvent::new(run, 0, 0, start, start + 1, 0)
}

#[test]
fn an_event_takes_at_most_64_bytes() {
    assert!(size_of::<NodeEvent>() <= 64);
}

#[test]
fn events_come_back_in_the_order_of_their_starts() {
    let recorder = Recorder::new(100);
    let run = recorder.begin_run("w", &shape(1), None, None);
    let thread = recorder.thread(here);
    for start in [30, 10, 20] {
        recorder.record(&event(run, start), thread, Status::Completed, 0);
    }
    let error = recorder.error("ValueError");
    recorder.record(&event(run, 40), thread, Status::Failed, error);
    let columns = recorder.columns();
    let nanos: Vec<_> = columns.start.iter().map(|start| start * 1e9).collect();
    for (seen, expected) in nanos.iter().zip([10.0, 20.0, 30.0, 40.0]) {
        assert!((seen - expected).abs() < 1e-3, "{nanos:?}");
    }
    assert_eq!(columns.status, [0, 0, 0, Status::Failed as u8]);
    assert_eq!(columns.error, [0, 0, 0, error]);
    assert_eq!(recorder.errors(), ["ValueError"]);
    assert_eq!(recorder.threads()[thread as usize].name, "main");
}

#[test]
fn what_comes_beyond_the_bound_is_dropped_and_counted() {
    let recorder = Recorder::new(10);
    // A run, and a workflow of one node.
    let run = recorder.begin_run("w", &shape(1), None, None);
    for start in 0..100 {
        recorder.record(&event(run, start), 0, Status::Completed, 0);
    }
    assert_eq!(recorder.len() as u64 + 3, 10);
    assert_eq!(recorder.len() as u64 + recorder.dropped(), 100);
    let late = recorder.begin_run("w", &shape(1), None, None);
    recorder.record(&event(late, 0), 0, Status::Completed, 0);
    assert_eq!(recorder.dropped(), 94);
    let (runs, _) = recorder.read_runs(|_, _, _| ());
    assert_eq!(runs.len(), 1);
}

#[test]
fn a_workflow_that_is_built_again_is_kept_once() {
    let recorder = Recorder::new(1000);
    for _ in 0..10 {
        recorder.begin_run("w", &shape(3), None, None);
    }
    recorder.begin_run("other", &shape(3), None, None);
    recorder.begin_run("w", &shape(4), None, None);
    recorder.begin_run("w", &shape(3), Some("delegated"), None);
    let (runs, workflows) = recorder.read_runs(|_, workflow, _| workflow);
    assert_eq!(runs, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    assert_eq!(workflows.len(), 4);
}

#[test]
fn nothing_is_taken_down_after_the_stop() {
    let recorder = Recorder::new(10);
    let run = recorder.begin_run("w", &shape(1), None, None);
    recorder.stop();
    recorder.record(&event(run, 1), 0, Status::Completed, 0);
    recorder.end_run(run, Status::Completed, 0, None);
    assert!(recorder.is_empty());
    assert_eq!(recorder.dropped(), 0);
    let (runs, _) = recorder.read_runs(|run, _, _| run.status);
    assert_eq!(runs, [Status::Running]);
}

#[test]
fn threads_lose_no_event() {
    let recorder = Recorder::new(1_000_000);
    let run = recorder.begin_run("w", &shape(1), None, None);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let recorder = &recorder;
            scope.spawn(move || {
                let thread = recorder.thread(|| Thread {
                    name: format!("t{number}"),
                    os_id: number + 1,
                });
                for start in 0..5000 {
                    recorder.record(&event(run, start), thread, Status::Completed, 0);
                }
            });
        }
    });
    assert_eq!(recorder.len(), 40_000);
    assert_eq!(recorder.threads().len(), 8);
}

#[test]
fn an_id_comes_back_as_it_was() {
    for text in [
        "2f1e7b0a-9d3c-4f77-8a4e-6b8f00c3d2e1",
        "2F1E7B0A-9D3C-4F77-8A4E-6B8F00C3D2E1",
        "2f1e7b0a9d3c4f778a4e6b8f00c3d2e1",
        "run_1",
        "",
        "é",
        "+f1e7b0a-9d3c-4f77-8a4e-6b8f00c3d2e1",
    ] {
        assert_eq!(RunId::new(text).to_string(), text);
    }
    assert!(matches!(
        RunId::new("2f1e7b0a-9d3c-4f77-8a4e-6b8f00c3d2e1"),
        RunId::Uuid(_)
    ));
}

#[test]
fn a_run_that_was_not_needed_is_taken_down_with_what_it_took() {
    let recorder = Recorder::new(5);
    std::thread::sleep(Duration::from_millis(2));
    let id = RunId::new("7");
    recorder.answered("w", "kept", Duration::from_millis(1), Some(id.clone()));
    // Longer than there has been a trace.
    recorder.answered("w", "kept", Duration::from_secs(1000), None);
    for _ in 0..10 {
        recorder.answered("w", "kept", Duration::ZERO, None);
    }
    let (runs, workflows) = recorder.read_runs(|run, _, _| run.clone());
    assert!(runs.len() <= 5, "{}", runs.len());
    assert!(runs.iter().all(|run| run.status == Status::Cached));
    assert_eq!(runs[0].id, Some(id));
    let took = runs[0].ended.map(|ended| ended - runs[0].began);
    assert!(took >= Some(1_000_000), "{took:?}");
    assert_eq!(runs[1].began, 0);
    assert_eq!(workflows.len(), 1);
    assert_eq!(workflows[0].2.as_deref(), Some("kept"));
}

#[test]
fn threads_of_other_processes_are_kept_beside_those_of_this_one() {
    let recorder = Recorder::new(100);
    let thread = |name: &str, os_id| Thread {
        name: name.into(),
        os_id,
    };
    let own = recorder.thread(here);
    let other = recorder.thread_of(thread("worker", 9));
    assert_eq!(recorder.thread_of(thread("worker", 9)), other);
    assert_ne!(recorder.thread_of(thread("worker", 10)), other);
    assert_eq!(recorder.thread(here), own);
    assert_eq!(recorder.threads().len(), 3);
}

#[test]
fn an_end_is_known_by_its_number() {
    for end in [
        Status::Completed,
        Status::Failed,
        Status::Skipped,
        Status::Cached,
        Status::Cancelled,
    ] {
        assert_eq!(Status::of_end(end as u8), Some(end));
    }
    assert_eq!(Status::of_end(Status::Running as u8), None);
    assert_eq!(Status::of_end(9), None);
}
