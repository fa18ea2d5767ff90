"""Bodies that Datadog's intakes refuse whole; `test_bad_bodies` sends each."""

from __future__ import annotations

from typing import Any

import orjson

from headgate.testing.sinks.vendor import BadBody

NOW_MS = 1_795_168_800_000  # 2026-11-20T10:00:00Z; the fake's clock is set to it in each of these
CLOCK = {"clock_ms": lambda: NOW_MS}
HEADERS = {"content-type": "application/json", "dd-api-key": "key"}
NOW = NOW_MS // 1000
SERIES, LOGS, CI = "/api/v2/series", "/api/v2/logs", "/api/v2/ci/pipeline"
EVENTS, DORA, POINTS = "/api/v1/events", "/api/v2/dora/deployment", "/api/v1/distribution_points"


def series(**changes: Any) -> bytes:
    """A good series of one count, with changes."""
    one = {"metric": "a.b", "type": 1, "interval": 60, "points": [{"timestamp": NOW, "value": 1}], "tags": ["a:b"]}
    return orjson.dumps({"series": [{**one, **changes}]})


def job(**changes: Any) -> bytes:
    """A good CI job, with changes."""
    resource = {
        "level": "job",
        "id": "j",
        "name": "unit",
        "pipeline_unique_id": "w",
        "pipeline_name": "build",
        "start": "2026-11-20T09:00:00Z",
        "end": "2026-11-20T09:02:10Z",
        "status": "error",
        "url": "https://ci/j",
        **changes,
    }
    return orjson.dumps({"data": [{"type": "cipipeline_resource_request", "attributes": {"resource": resource}}]})


def event(**changes: Any) -> bytes:
    """A good v1 event, with changes."""
    return orjson.dumps({"title": "t", "text": "x", "date_happened": NOW, "tags": ["a:b"], **changes})


def deployment(**changes: Any) -> bytes:
    """A good DORA deployment, with changes."""
    attributes = {
        "id": "0123456789abcdef",
        "service": "web",
        "started_at": NOW_MS - 1,
        "finished_at": NOW_MS,
        **changes,
    }
    return orjson.dumps({"data": {"attributes": attributes}})


def _bad(name: str, path: str, body: bytes, reason: str, status: int = 400, **more: str) -> BadBody:
    named = {key.replace("_", "-"): value for key, value in more.items()}
    return BadBody(name, status, body, reason, path=path, headers={**HEADERS, **named}, options=CLOCK)


GIT = {"repository_url": "https://github.com/acme/web", "sha": "a" * 40, "author_email": "a@example.org", "branch": "b"}
BAD_BODIES = (
    _bad("not-json", SERIES, b"series=1", "unexpected"),
    _bad("no-points", SERIES, series(points=[]), "points must be a list"),
    _bad("milliseconds-as-text", SERIES, series(points=[{"timestamp": "now", "value": 1}]), "timestamp must be"),
    _bad("value-as-text", SERIES, series(points=[{"timestamp": NOW, "value": "1"}]), "value must be a number"),
    _bad("type-by-name", SERIES, series(type="count"), "type must be an integer"),
    _bad("count-without-interval", SERIES, series(interval=None), "interval must be"),
    _bad("metric-with-space", SERIES, series(metric="a b"), "not a metric name"),
    _bad("tag-without-colon", SERIES, series(tags=["main"]), "not of the form"),
    _bad("series-too-big", SERIES, series(unit="x" * 520_000), "on the wire", 413),
    _bad("wrong-content-type", SERIES, series(), "text/plain", 415, content_type="text/plain"),
    _bad("unknown-encoding", SERIES, series(), "Content-Encoding br", content_encoding="br"),
    _bad("not-gzip", SERIES, series(), "", content_encoding="gzip"),
    _bad("points-in-gzip", POINTS, b"x", "Content-Encoding gzip", content_encoding="gzip"),
    _bad("point-without-list", POINTS, b'{"series":[{"metric":"a","points":[[1,2]]}]}', "values must be a list"),
    _bad("log-without-message", LOGS, b'[{"ddsource":"circleci"}]', "message must be"),
    _bad("log-tags-as-list", LOGS, b'[{"message":"x","ddtags":["a:b"]}]', "ddtags must be"),
    _bad("log-of-yesterday", LOGS, orjson.dumps([{"message": "x", "timestamp": NOW_MS - 86_400_000}]), "18 hours"),
    _bad("too-many-logs", LOGS, orjson.dumps([{"message": "x"}] * 1_001), "at most 1000", 413),
    _bad("job-without-pipeline-name", CI, job(pipeline_name=None), "pipeline_name must be"),
    _bad("job-with-our-word", CI, job(status="failed"), "status"),
    _bad("job-that-is-blocked", CI, job(status="blocked"), "status"),
    _bad("job-of-yesterday", CI, job(start="2026-11-19T09:00:00Z", end="2026-11-19T09:00:01Z"), "18 hours"),
    _bad("job-that-ends-before-it-starts", CI, job(end="2026-11-20T08:00:00Z"), "before start"),
    _bad("half-a-git-block", CI, job(git={"branch": "main"}), "git.repository_url"),
    _bad("branch-and-tag", CI, job(git={**GIT, "tag": "v1"}), "exactly one"),
    _bad("short-sha", CI, job(git={**GIT, "sha": "abc"}), "40 hexadecimal"),
    _bad("negative-queue-time", CI, job(queue_time=-1), "queue_time is below 0"),
    _bad("error-of-nobody", CI, job(error={"type": "x", "message": "y", "domain": "ci"}), "error.domain"),
    _bad("ci-in-gzip", CI, job(), "Content-Encoding gzip", content_encoding="gzip"),
    _bad("event-too-long", EVENTS, event(text="x" * 4_001), "at most 4000"),
    _bad("event-key-too-long", EVENTS, event(aggregation_key="x" * 101), "at most 100"),
    _bad("event-of-yesterday", EVENTS, event(date_happened=NOW - 86_400), "18 hours"),
    _bad("deployment-with-short-id", DORA, deployment(id="short"), "16 to 128"),
    _bad("deployment-with-half-git", DORA, deployment(git={"commit_sha": "a" * 40}), "git.repository_url"),
    _bad("deployment-without-start", DORA, deployment(started_at=None), "started_at must be"),
    _bad("no-key", SERIES, series(), "Unauthorized", 401, dd_api_key=""),
    _bad("unknown-path", "/api/v3/series", series(), "Not found", 404),
)
