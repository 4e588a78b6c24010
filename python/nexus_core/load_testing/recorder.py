"""Counts what happens to the requests of a load test, in bounded memory."""

from __future__ import annotations

from nexus_core.load_testing.latency_histogram import LatencyHistogram
from nexus_core.load_testing.load_shapes import LoadShape, OpenLoop
from nexus_core.load_testing.result import ErrorGroup, GeneratorReport, Interval, LoadProgress

__all__ = ["Recorder"]

_MOST_INTERVALS = 600
_MOST_ERROR_TYPES = 50
_LONGEST_EXAMPLE = 300

#: A generator that waits for a processor for so much of the time is disturbed by it.
_WAITED = 0.25

#: A request that begins so much later than intended, in seconds, is late.
_LATE = 0.005


class _Slot:
    __slots__ = ("failed", "latency")

    def __init__(self) -> None:
        self.failed = 0
        self.latency = LatencyHistogram()


class Recorder:
    """Counts from one thread.

    Args:
        measure_from: The time of the event loop from which on requests count.
    """

    def __init__(self, measure_from: float) -> None:
        self.measure_from = measure_from
        self.warmup_requests = 0
        self.started = 0
        self.failed = 0
        self.from_cache = 0
        self.held_back = 0
        self.not_sent = 0
        self.last_reply = measure_from
        self.last_end = measure_from
        self.latency = LatencyHistogram()
        self.error_latency = LatencyHistogram()
        self.lateness = LatencyHistogram()
        self._width = 1
        self._slots: dict[int, _Slot] = {}
        self._errors: dict[str, tuple[int, str]] = {}

    def schedule(self, intended: float) -> None:
        """A request is sent off."""
        if intended < self.measure_from:
            self.warmup_requests += 1
        else:
            self.started += 1

    def begin(self, intended: float, now: float) -> None:
        """It begins."""
        if intended >= self.measure_from:
            self.lateness.record(now - intended)

    def end(
        self,
        intended: float,
        now: float,
        error: BaseException | None,
        *,
        given_up: bool = False,
        from_cache: bool = False,
    ) -> None:
        """It was answered, or has failed, or nobody waits for it any more."""
        if intended < self.measure_from:
            return
        self.last_end = max(self.last_end, now)
        if not given_up:
            self.last_reply = max(self.last_reply, now)
        slot = self._slot(now)
        if error is None:
            self.from_cache += from_cache
            self.latency.record(now - intended)
            slot.latency.record(now - intended)
        else:
            self.failed += 1
            slot.failed += 1
            self.error_latency.record(now - intended)
            self._count_error(error)

    @property
    def unfinished(self) -> int:
        """Requests that have neither been answered nor failed."""
        # Another thread may look while this one counts.
        ended = self.failed + self.latency.count
        return max(0, self.started - ended)

    def seconds(self) -> float:
        """From the beginning until the last reply; where there was none, until the last request was given up."""
        last = self.last_reply if self.last_reply > self.measure_from else self.last_end
        return last - self.measure_from

    def _slot(self, now: float) -> _Slot:
        number = int((now - self.measure_from) // self._width)
        while number >= _MOST_INTERVALS:
            self._widen()
            number = int((now - self.measure_from) // self._width)
        return self._slots.setdefault(number, _Slot())

    def _widen(self) -> None:
        """Makes one interval of two."""
        merged: dict[int, _Slot] = {}
        for number, slot in self._slots.items():
            into = merged.setdefault(number // 2, _Slot())
            into.failed += slot.failed
            into.latency.merge(slot.latency)
        self._slots = merged
        self._width *= 2

    def _count_error(self, error: BaseException) -> None:
        kind = getattr(error, "label", None) or _class_name(error)
        if kind not in self._errors and len(self._errors) >= _MOST_ERROR_TYPES:
            kind = "other"
        count, example = self._errors.get(kind, (0, ""))
        self._errors[kind] = (count + 1, example or _one_line(error))

    # --- what was found -----------------------------------------------------------------

    def errors(self) -> tuple[ErrorGroup, ...]:
        """Failures by type, the most frequent first."""
        groups = (ErrorGroup(kind, count, example) for kind, (count, example) in self._errors.items())
        return tuple(sorted(groups, key=lambda group: -group.count))

    def timeline(self, seconds: float) -> tuple[Interval, ...]:
        """The intervals of the whole test, which took so long; those without a reply included."""
        # What was given up ends after the last reply.
        seconds = max(seconds, self.last_end - self.measure_from)
        last = max(self._slots, default=-1)
        count = max(last + 1, -int(-seconds // self._width)) if self._slots else 0
        found: list[Interval] = []
        for number in range(count):
            slot = self._slots.get(number) or _Slot()
            start = float(number * self._width)
            # The last one ends with the test.
            length = min(float(self._width), max(seconds - start, 1e-9))
            found.append(Interval(start, length, slot.latency.count, slot.failed, slot.latency.summary()))
        return tuple(found)

    def progress(self, now: float, duration: float | None) -> LoadProgress:
        """How it goes; from any thread."""
        seconds, latency = now - self.measure_from, self.latency.copy()
        p50, p99 = latency.quantiles([0.5, 0.99])
        rate = latency.count / seconds if seconds > 0 else 0.0
        return LoadProgress(seconds, duration, latency.count, self.failed, self.unfinished, rate, p50, p99)

    def generator_report(
        self, shape: LoadShape, cpu_share: float, apart: bool, cpu_wait_share: float = 0.0
    ) -> GeneratorReport:
        """Whether the load was the one that was asked for.

        Args:
            shape: What was asked for.
            cpu_share: CPU time of the process by the test's.
            apart: Whether what is tested runs in another process.
            cpu_wait_share: Time that the generator waited for a processor, by the test's.
        """
        lateness = self.lateness.summary()
        why: list[str] = []
        if isinstance(shape, OpenLoop):
            if self.not_sent:
                why.append(f"{self.not_sent} of {self.not_sent + self.started} requests were not sent in time")
            if self.held_back:
                why.append(f"{self.held_back} waited because {shape.max_in_flight} were unanswered")
            if lateness.p99 > _LATE:
                where = "" if apart else "; in process, a workflow that holds the event loop delays it, too"
                why.append(f"one request in 100 began {lateness.p99 * 1e3:.1f} ms late or more{where}")
        if apart and (cpu_share + cpu_wait_share > 0.9 or cpu_wait_share > _WAITED):
            waited = f", and waited for a processor for {cpu_wait_share:.0%}" if cpu_wait_share > 0.01 else ""
            why.append(f"this process was busy for {cpu_share:.0%} of the time{waited}")
        return GeneratorReport(
            lateness, self.held_back, self.not_sent, cpu_share, cpu_wait_share, bool(why), "; ".join(why)
        )


def _class_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _one_line(error: BaseException) -> str:
    """What an error says, without the traceback that Kailash writes below."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else repr(error))[:_LONGEST_EXAMPLE]
