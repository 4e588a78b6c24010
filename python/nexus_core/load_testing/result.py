"""What a load test has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from nexus_core.load_testing.latency_histogram import LatencySummary

__all__ = ["ErrorGroup", "GeneratorReport", "Interval", "LoadProgress", "LoadTestResult", "StoppedBy"]

StoppedBy = Literal["duration", "requests", "interrupt"]


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures of one type.

    Attributes:
        type: The exception's class, or ``HTTP`` and the status.
        count: How many.
        example: What the first of them said.
    """

    type: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Interval:
    """What was answered in one interval of a test, a second long unless the test is longer than ten minutes.

    Attributes:
        start: Seconds from the end of the warm-up.
        seconds: How long it is; the last ends with the test.
        succeeded: Requests that were answered in it.
        failed: Requests that failed in it.
        latency: Of those that succeeded.
    """

    start: float
    seconds: float
    succeeded: int
    failed: int
    latency: LatencySummary


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """Whether the load was the one that was asked for.

    Attributes:
        lateness: How much later than intended requests began, in an open loop.
        held_back: Requests that waited because ``max_in_flight`` were unanswered.
        not_sent: Requests that were to begin within the test, and could not.
        cpu_share: CPU time of this process by the time of the test, 1 for one core; of a test in
            process, the workflow's included.
        cpu_wait_share: For how much of that time the generator's thread was ready and others had the
            processors; 0 where the system does not tell.
        fell_behind: Whether the generator, and not what it tests, limits what was found.
        why: The figures that say so; empty if it did not.
    """

    lateness: LatencySummary
    held_back: int
    not_sent: int
    cpu_share: float
    cpu_wait_share: float
    fell_behind: bool
    why: str


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """A test that is under way.

    Attributes:
        seconds: Since the end of the warm-up; negative before.
        duration: Seconds that it is to take, or ``None`` where requests bound it.
        succeeded: Requests that were answered.
        failed: Requests that failed.
        in_flight: Requests that are not answered yet.
        throughput: Successful replies a second.
        p50: Latency that half of them did not exceed, in seconds.
        p99: Latency that 99 in 100 did not exceed, in seconds.
    """

    seconds: float
    duration: float | None
    succeeded: int
    failed: int
    in_flight: int
    throughput: float
    p50: float
    p99: float

    def __str__(self) -> str:
        when = "warm-up" if self.seconds < 0 else f"{self.seconds:.0f} s"
        of = f" of {self.duration:g} s" if self.duration is not None and self.seconds >= 0 else ""
        return (
            f"{when}{of}: {self.succeeded} done, {self.failed} failed, {self.in_flight} in flight, "
            f"{self.throughput:.1f}/s, p50 {self.p50 * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms"
        )


@dataclass(frozen=True, slots=True)
class LoadTestResult:
    """A load test's figures, without the warm-up's.

    ``requests`` is ``succeeded + failed + unfinished``.

    Attributes:
        workflow_name: What was executed.
        target: Where: ``"in process"``, or the URL.
        load: The load in words.
        started_at: When the measurement began, in seconds since the epoch.
        seconds: How long it took, until the last reply; the duration at least, unless it was stopped before.
        warmup_seconds: How long requests were sent before, which are counted nowhere else.
        warmup_requests: How many.
        requests: Requests that began.
        succeeded: Those that were answered.
        failed: Those that failed or timed out.
        unfinished: Those that an interrupt left unanswered.
        from_cache: Those of the answered that a cache answered, as far as it says so, and no run.
        throughput: Successful replies a second.
        error_rate: Failures by hundred requests that ended.
        latency: Of the requests that succeeded; in an open loop from when they were to begin.
        error_latency: Of those that failed.
        errors: Failures by type, the most frequent first.
        timeline: What happened second by second.
        generator: Whether the generator kept up.
        stopped_by: What ended the test.
    """

    workflow_name: str
    target: str
    load: str
    started_at: float
    seconds: float
    warmup_seconds: float
    warmup_requests: int
    requests: int
    succeeded: int
    failed: int
    unfinished: int
    from_cache: int
    throughput: float
    error_rate: float
    latency: LatencySummary
    error_latency: LatencySummary
    errors: tuple[ErrorGroup, ...]
    timeline: tuple[Interval, ...]
    generator: GeneratorReport
    stopped_by: StoppedBy

    def as_dict(self) -> dict[str, Any]:
        """All of it as nested dicts and lists, for JSON.

        Returns:
            The attributes by their names.
        """
        found = asdict(self)
        found["errors"] = list(found["errors"])
        found["timeline"] = list(found["timeline"])
        return found

    def __str__(self) -> str:
        latency = ", ".join(
            f"{name} {value * 1e3:.2f}" for name, value in self.latency.as_dict().items() if name != "count"
        )
        lines = [
            f"{self.workflow_name} ({self.target}), {self.load}: {self.requests} requests in {self.seconds:.1f} s",
            f"  {self.throughput:.1f} replies/s, {self.error_rate:.2f} % errors, stopped by {self.stopped_by}",
            f"  latency in ms: {latency}",
        ]
        if self.from_cache:
            lines.append(f"  a cache answered {self.from_cache} of {self.succeeded}: those are no runs")
        lines.extend(f"  {group.count} × {group.type}: {group.example}" for group in self.errors)
        if self.generator.fell_behind:
            lines.append(f"  the generator fell behind: {self.generator.why}")
        return "\n".join(lines)
