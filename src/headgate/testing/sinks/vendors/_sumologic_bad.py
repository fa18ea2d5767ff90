"""Uploads that a Sumo Logic source refuses, or takes with 200 and loses; `test_bad_bodies` sends each."""

from __future__ import annotations

from headgate.testing.sinks.vendor import BadBody

PATH = "/receiver/v1/http/code"
NOW_MS = 1_795_168_800_000  # 2026-11-20T10:00:00Z; the fake's clock is set to it in each of these
CLOCK = {"clock_ms": lambda: NOW_MS}
DAY_MS = 86_400_000
LINES = {"content-type": "application/x-ndjson"}
PROMETHEUS = {"content-type": "application/vnd.sumologic.prometheus"}
CARBON2 = {"content-type": "application/vnd.sumologic.carbon2"}
GOOD = b'{"timestamp":"2026-11-20T10:00:00.000Z","id":"a"}\n'


def _logs(name: str, status: int, body: bytes, reason: str, **headers: str) -> BadBody:
    sent = {**LINES, **{key.replace("_", "-"): value for key, value in headers.items()}}
    return BadBody(name, status, body, reason, path=PATH, headers=sent, options=CLOCK)


def _metrics(name: str, body: str, reason: str, headers: dict[str, str] | None = None) -> BadBody:
    return BadBody(name, 400, body.encode(), reason, path=PATH, headers=headers or PROMETHEUS, options=CLOCK)


def _at(path: str, status: int, reason: str, *, method: str = "POST", **options: object) -> BadBody:
    name = f"{method}-{status}-{reason}".lower().replace(" ", "-")
    return BadBody(name, status, GOOD, reason, method=method, path=path, headers=LINES, options={**CLOCK, **options})


_MANY = ",".join(f"f{number}=v" for number in range(31))
_DIMENSIONS = ",".join(f'd{number}="v"' for number in range(101))
BAD_BODIES = (
    _logs("not-json", 400, b"id=a 2026-11-20T10:00:00Z\n", "not JSON"),
    _logs("cut-json", 400, GOOD[:-3] + b"\n", "not JSON"),
    _logs("pretty-json", 400, GOOD.replace(b",", b",\n"), "not JSON"),
    _logs("array", 400, b'["2026-11-20T10:00:00Z"]\n', "must be a JSON object"),
    _logs("no-time", 400, b'{"id":"a"}\n', "no time is found"),
    _logs("line-too-long", 400, GOOD[:-2] + b',"x":"' + b"x" * 65_536 + b'"}\n', "cut into pieces"),
    _logs("too-many-fields", 400, GOOD, "31 fields", x_sumo_fields=_MANY),
    _logs("field-without-value", 400, GOOD, "is not a field", x_sumo_fields="team"),
    _logs("long-field", 400, GOOD, "is not a field", x_sumo_fields="team=" + "x" * 201),
    _logs("dimensions-of-logs", 400, GOOD, "are for metrics", x_sumo_dimensions="team=web"),
    _logs("unknown-encoding", 400, GOOD, "not supported", content_encoding="br"),
    _logs("not-gzip", 400, GOOD, "not gzip", content_encoding="gzip"),
    BadBody("too-large", 413, GOOD * 3, "over 64", path=PATH, headers=LINES, options={**CLOCK, "max_body_bytes": 64}),
    _at("/receiver/v1/http/other", 401, "invalid URL token", code="code"),
    _at("/receiver/v1/http", 401, "missing URL token"),
    _at(PATH, 401, "invalid X-Sumo-Token", token="secret"),
    _at("/receiver/v2/logs/code", 404, "no source here"),
    _at(PATH, 405, "method PUT", method="PUT"),
    _metrics("comment", "# TYPE a counter\n", "not a Prometheus line"),
    _metrics("no-metric-time", 'a{b="c"} 1\n', "not a Prometheus line"),
    _metrics("dotted-name", f"a.b 1 {NOW_MS}\n", "not a Prometheus line"),
    _metrics("unescaped-label", f'a{{b="c"d"}} 1 {NOW_MS}\n', "labels cannot be read"),
    _metrics("nan", f"a NaN {NOW_MS}\n", "not finite"),
    _metrics("too-old", f"a 1 {NOW_MS - DAY_MS - 1}\n", "more than a day away"),
    _metrics("too-new", f"a 1 {NOW_MS + DAY_MS + 1}\n", "more than a day away"),
    _metrics("101-dimensions", f"a{{{_DIMENSIONS}}} 1 {NOW_MS}\n", "101 dimensions"),
    _metrics("long-value", f'a{{b="{"x" * 401}"}} 1 {NOW_MS}\n', "length of dimension"),
    _metrics("no-last-newline", f"a 1 {NOW_MS}", "has no end"),
    _metrics("one-blank", f"metric=a unit=s 1 {NOW_MS}\n", "two blanks", CARBON2),
    _metrics("blank-in-value", f"metric=a unit=s job=unit test  1 {NOW_MS}\n", "not a tag", CARBON2),
    _metrics("no-unit", f"metric=a  1 {NOW_MS}\n", "metric and unit", CARBON2),
    _metrics(
        "content-type-with-charset",
        f"a 1 {NOW_MS}\n",
        "not exactly",
        {"content-type": "application/vnd.sumologic.prometheus; charset=utf-8"},
    ),
    _metrics("fields-of-metrics", f"a 1 {NOW_MS}\n", "is for logs", {**PROMETHEUS, "x-sumo-fields": "team=web"}),
)
