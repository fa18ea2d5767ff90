"""A run as a waterfall: when each job waited and ran, which jobs made it as long as it was, and which ran alone. Pure.

Invariants: bars lie within the run; the parts of the critical path follow one another without overlap, so that together
they are never longer than the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.runrows import RunDetail, RunJob

__all__ = ["Bar", "Piece", "Waterfall", "draw"]

_TICKS = 5


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar: blocked, queue, hold or work. `left`, `width`: percent of the whole; `ms`: how long."""

    kind: str
    left: float
    width: float
    ms: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One job. `depth`: how many jobs one after the other it waited for. Spans in milliseconds, None where unknown.

    `critical_ms`: its share of the critical path, None where it is not on it. `alone_ms`: time in which no other job of
    the run waited for a machine or for somebody, or ran. `earlier`: it ended before the run began: a rerun took it over.
    """

    job: RunJob
    depth: int
    pieces: tuple[Piece, ...]
    queue_ms: int | None
    hold_ms: int | None
    work_ms: int | None
    critical_ms: int | None
    alone_ms: int
    earlier: bool
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A run. `ticks`: (percent, milliseconds since the begin). `inferred`: who waited for whom is not known.

    `queue_ms`, `hold_ms`, `work_ms`: sums over the critical path.
    """

    since_ms: int
    until_ms: int
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, int], ...]
    path: tuple[str, ...]
    inferred: bool
    queue_ms: int
    hold_ms: int
    work_ms: int


def _begin(job: RunJob) -> int | None:
    """When a job began to wait for a machine or somebody, or to run."""
    known = (job.queued_ms, job.started_ms) if job.type != "approval" else (job.started_ms, job.created_ms)
    return next((at for at in known if at is not None), None)


@dataclass(frozen=True, slots=True)
class _Span:
    """A job with its times inside the run; `start`: when it left the queue."""

    job: RunJob
    begin: int
    start: int
    end: int


def draw(run: RunDetail, now_ms: int) -> Waterfall:
    """The waterfall of a run, ended or not."""
    since = run.created_ms
    begins = [at for job in run.jobs if (at := _begin(job)) is not None]
    if since is None:
        since = min(begins, default=run.stopped_ms or now_ms)
    ends = [job.stopped_ms for job in run.jobs if job.stopped_ms is not None]
    until = max([run.stopped_ms or now_ms, *ends, since + 1])
    spans = {job.job_id: span for job in run.jobs if (span := _span(job, since, until)) is not None}
    inferred = not any(job.requires for job in run.jobs)
    path = _critical(spans, inferred=inferred)
    shares = _shares(spans, path, since)
    alone = _alone(spans)
    depths = _depths(run.jobs)
    names = {job.job_id: job.job for job in run.jobs}
    bars = [
        _bar(job, spans.get(job.job_id), (since, until), depths[job.job_id], shares, alone, names) for job in run.jobs
    ]
    bars.sort(key=lambda bar: (bar.earlier, _place(spans.get(bar.job.job_id)), bar.depth, bar.job.job))
    on_path = [bar for bar in bars if bar.job.job_id in shares]
    return Waterfall(
        since,
        until,
        tuple(bars),
        tuple((100 * part / _TICKS, (until - since) * part // _TICKS) for part in range(_TICKS + 1)),
        tuple(path),
        inferred,
        *(sum(getattr(bar, name) or 0 for bar in on_path) for name in ("queue_ms", "hold_ms", "work_ms")),
    )


def _place(span: _Span | None) -> tuple[bool, int]:
    return (span is None, span.begin if span else 0)


def _span(job: RunJob, since: int, until: int) -> _Span | None:
    """The job's times; None where it did not begin, or had ended before the run began."""
    begin = _begin(job)
    if begin is None or (job.stopped_ms is not None and job.stopped_ms < since):
        return None
    end = min(job.stopped_ms if job.stopped_ms is not None else until, until)
    begin = min(max(begin, since), end)
    start = job.started_ms if job.started_ms is not None else end
    return _Span(job, begin, min(max(start, begin), end), end)


def _before(span: _Span, spans: Mapping[str, _Span], *, inferred: bool) -> _Span | None:
    """The job for whose end this one waited last."""
    if inferred:
        found = [one for one in spans.values() if one.end <= span.begin and one is not span]
    else:
        found = [spans[name] for name in span.job.requires if name in spans and spans[name].end <= span.end]
    return max(found, key=lambda one: (one.end, one.begin, one.job.job_id), default=None)


def _critical(spans: Mapping[str, _Span], *, inferred: bool) -> list[str]:
    """Ids of the jobs that made the run as long as it was, in their order."""
    at = max(spans.values(), key=lambda one: (one.end, one.job.job_id), default=None)
    path: list[str] = []
    while at is not None and at.job.job_id not in path:
        path.append(at.job.job_id)
        at = _before(at, spans, inferred=inferred)
    return path[::-1]


def _shares(spans: Mapping[str, _Span], path: Sequence[str], since: int) -> Mapping[str, int]:
    """Job of the path -> how much later the path ends because of it."""
    shares: dict[str, int] = {}
    reached = since
    for name in path:
        shares[name] = max(0, spans[name].end - max(reached, spans[name].begin))
        reached = max(reached, spans[name].end)
    return shares


def _alone(spans: Mapping[str, _Span]) -> Mapping[str, int]:
    """Job -> time in which no other job had begun and not ended."""
    events = sorted(
        [(span.begin, 1, name) for name, span in spans.items()] + [(span.end, 0, name) for name, span in spans.items()]
    )
    here: set[str] = set()
    found = dict.fromkeys(spans, 0)
    reached = 0
    for at, begins, name in events:
        if len(here) == 1:
            found[next(iter(here))] += at - reached
        reached = at
        if begins:
            here.add(name)
        else:
            here.discard(name)
    return found


def _depths(jobs: Sequence[RunJob]) -> Mapping[str, int]:
    """Job -> the longest chain of jobs that it waited for."""
    known = {job.job_id: job for job in jobs}
    depths = dict.fromkeys(known, 0)
    for _ in range(min(len(jobs), 100)):
        deeper = {
            name: max((depths[one] + 1 for one in job.requires if one in depths and one != name), default=0)
            for name, job in known.items()
        }
        if deeper == depths:
            break
        depths = deeper
    return depths


def _bar(  # noqa: PLR0917  # one row from all that was worked out, in that order
    job: RunJob,
    span: _Span | None,
    whole: tuple[int, int],
    depth: int,
    shares: Mapping[str, int],
    alone: Mapping[str, int],
    names: Mapping[str, str],
) -> Bar:
    after = tuple(names[name] for name in job.requires if name in names)
    if span is None:
        earlier = job.stopped_ms is not None and job.stopped_ms < whole[0]
        return Bar(job, depth, (), None, None, None, None, 0, earlier, after)
    held = job.type == "approval"
    parts = [("hold", span.begin, span.end)] if held else []
    if not held:
        parts = [("queue", span.begin, span.start), ("work", span.start, span.end)]
    pieces = tuple(_piece(kind, since, until, whole) for kind, since, until in parts if until > since)
    return Bar(
        job,
        depth,
        pieces,
        None if held or job.queued_ms is None else span.start - span.begin,
        span.end - span.begin if held else None,
        None if held or job.started_ms is None else span.end - span.start,
        shares.get(job.job_id),
        alone.get(job.job_id, 0),
        earlier=False,
        after=after,
    )


def _piece(kind: str, since: int, until: int, whole: tuple[int, int]) -> Piece:
    length = whole[1] - whole[0]
    left = 100 * (since - whole[0]) / length
    return Piece(kind, round(left, 3), round(max(100 * (until - since) / length, 0.15), 3), until - since)
