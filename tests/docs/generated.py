"""Pages that are written from the code. `make docs` rewrites them; the tests fail when one is out of date."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import typer
from fastapi.routing import APIRoute

import headgate.cli
from headgate.app.records import RecordsConfig
from headgate.app.rulepages import add_rule_pages
from headgate.app.settings import Settings
from headgate.cli.application import application
from headgate.core.fieldlist import ATTRIBUTES, AttributeInfo
from headgate.core.metrics import METRICS
from headgate.core.record import KINDS, record_schema
from headgate.core.status import _TABLE
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.dimensions import DIMENSIONS
from headgate.insights.metric import FromLags, FromOutages, FromRepeats, FromRows, FromTally, MetricDef
from headgate.insights.tables import TABLES, read_asking
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import TITLES
from headgate.plugins.docs import option_table, with_table
from headgate.sinks._measures import MEASURES
from headgate.sinks._tally import family_name
from headgate.sources.circleci.config import CircleCIConfig
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages

DOCS = Path(__file__).resolve().parents[2] / "docs"
_MARK = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"


def metrics_page() -> str:
    rows = [
        f"| `{d.name}` | {d.kind} | {', '.join(f'`{label}`' for label in d.labels)} | {d.doc} |"
        for d in METRICS.values()
    ]
    return (
        f"# Metrics of Headgate itself\n\n{_MARK}Served at `/metrics`. Labels come from closed or configured sets.\n\n"
        "| name | kind | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def measures_page() -> str:
    """What records measure, for every sink that takes numbers."""
    rows = []
    for m in MEASURES:
        labels = ", ".join(f"`{label}`" for label in sorted(m.labels))
        shown = family_name(m) + ("_total" if m.instrument == "counter" else "")
        rows.append(f"| `{m.name}` | {m.unit} | {m.instrument} | `{m.kind}` | {labels} | {m.meaning} | `{shown}` |")
    return (
        f"# CI metrics\n\n{_MARK}What a record measures, the same in every sink that takes numbers; each renders"
        " the names in its vendor's way. A label is there where the record has the fact. `circleci.project` is the"
        " project's slug; tags of `records.tags` are labels too.\n\n"
        "| name | unit | instrument | record | labels | meaning | in Prometheus |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nAn `insight` record gives a gauge for each figure, `circleci.insight.<figure>`, where it is about a"
        " window up to now (`circleci.insight.window`) and all branches.\n"
    )


def catalogue_page() -> str:
    """Every metric of the catalogue with its definition."""
    head = (
        f"# Metric catalogue\n\n{_MARK}What rules, pages and exports can ask for. A percentage is a ratio from 0 to 1,"
        " a duration is in seconds. A window is half open and goes by the end of what it counts. Counts, sums and means"
        " are exact; quantiles are within 1.01 % of the nearest rank. A metric has no value where nothing qualifies,"
        " which is not 0.\n\n"
        'Whether a default branch counts alone is up to the rule (`branch: "@default"`); a metric itself takes every'
        " branch. Rules choose runs, runs without time on hold, or jobs by `over`; formulas of"
        " [KPIs](configuration.md#metrics-of-your-own) use the names below. The metrics named `dora_` are **proxies**:"
        " they follow from deployments that CircleCI or you told of, not from what happened in production.\n\n"
        "| name | format | value | dimensions |\n|---|---|---|---|\n"
    )
    rows = [
        f"| [`{name}`](#{name}) | {m.format} | {m.doc} | {', '.join(m.dimensions)} |\n"
        for name, m in CATALOGUE.names.items()
    ]
    parts = [_metric_part(name, metric) for name, metric in CATALOGUE.names.items()]
    dimensions = [f"| `{name}` | {meaning} |\n" for name, meaning in DIMENSIONS.items()]
    return (
        head
        + "".join(rows)
        + "".join(parts)
        + "\n## Dimensions\n\n| name | meaning |\n|---|---|\n"
        + "".join(dimensions)
    )


def _read_from(metric: MetricDef) -> str:
    match metric.compute:
        case FromTally():
            return "sums of hours and days"
        case FromRepeats() | FromRows(rows="steps"):
            return "sums of days"
        case FromOutages():
            return "rows of outages"
        case FromLags():
            return "how far each project is collected"
        case _:
            return "single facts"


def _metric_part(name: str, metric: MetricDef) -> str:
    facts = {
        "Metric": f"`{metric.id}`, over {metric.over}",
        "Unit": f"`{metric.unit}`, {metric.format}; {'more' if metric.higher_is_worse else 'less'} is worse",
        "Formula": metric.formula,
        "From": ", ".join(metric.inputs),
        "Counts": metric.counts,
        "Complete when": f"{metric.family} are",
        "Read from": _read_from(metric),
        "CircleCI Insights": metric.circleci,
    }
    proxy = " A proxy." if metric.proxy else ""
    return f"\n## {name}\n\n{metric.doc}{proxy}\n\n" + "".join(
        f"- {word}: {text}\n" for word, text in facts.items() if text
    )


def records_page() -> str:
    parts = [
        f"# Records\n\n{_MARK}The envelope is described by `headgate schema record`. Kinds: "
        + ", ".join(f"`{kind}`" for kind in KINDS)
        + ".\n\nA job's record also carries `cicd.pipeline.name`, the pipeline, trigger, `vcs.*`, author and commit"
        " of its workflow. Missing is absent, never blank or 0. Personal attributes are those that a sink's"
        " [privacy](forwarding.md#privacy) is for. An `amendment` carries `headgate.amends` (id of the"
        " record), `headgate.revision` and the names that changed. An `insight` carries each number as"
        " `circleci.insight.<name>` (the page of its source says which); one about an organisation has no project.\n"
    ]
    for kind, listed in ATTRIBUTES.items():
        own = [info for info in listed.values() if info.name not in _ANYWHERE]
        parts.append(f"\n## {kind}\n\n" + (_attribute_table(own) if own else "Nothing of its own yet.\n"))
    anywhere = [info for info in ATTRIBUTES["job"].values() if info.name in _ANYWHERE]
    parts.append(f"\n## Any kind\n\n{_attribute_table(anywhere)}")
    parts.append("\n## Status words\n\n| CircleCI | Headgate | final |\n|---|---|---|\n")
    parts.extend(
        f"| `{theirs}` | `{ours}` | {'yes' if final else 'no'} |\n" for theirs, (ours, final) in _TABLE.items()
    )
    parts.append("\nAny other word is `unknown`, and final once there is an end time.\n")
    return "".join(parts)


_ANYWHERE = set.intersection(*(set(listed) for listed in ATTRIBUTES.values()))


def _attribute_table(rows: Iterable[AttributeInfo]) -> str:
    head = "| attribute | type | unit | personal | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{i.name}` | {i.type} | {i.unit} | {'yes' if i.personal else ''} | {i.meaning} |\n" for i in rows
    )


def published_record() -> dict[str, Any]:
    """What readers of records may rely on: the envelope, and the attributes of each kind with their types."""
    attributes = {kind: {name: info.type for name, info in listed.items()} for kind, listed in ATTRIBUTES.items()}
    return {"envelope": record_schema(), "attributes": attributes}


def record_page() -> str:
    """`published_record` as the JSON file that later releases are compared with."""
    return json.dumps(published_record(), indent=2, ensure_ascii=False) + "\n"


def cli_page() -> str:
    """Every command with its arguments and options, from the tree of commands, so no terminal's width matters."""
    codes = next(part for part in (headgate.cli.__doc__ or "").split("\n\n") if part.startswith("Exit codes:"))
    head = (
        f"# Command line\n\n{_MARK}`headgate COMMAND --help` shows the same. {' '.join(codes.split())} 130:"
        " interrupted, or a question was answered with no.\n\nCommands that ask or change something talk to the"
        " running daemon of the same configuration; where none runs they open the store themselves. `check` and"
        " `webhooks` ask the far sides themselves. With `--json`"
        " data is printed as one JSON object a line; without it tables are for people, and on a pipe their cells are"
        " separated by tabs, below a line of their names.\n"
    )
    return head + "".join(_commands(typer.main.get_command(application), "headgate"))


def _commands(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    words = [part for param in command.params if param.param_type_name == "argument" for part in [_argument(param)]]
    usage = " ".join([path, "[OPTIONS]", *(["COMMAND"] if inner else words)])
    yield f"\n## {path}\n\n{command.help}\n\n```\n{usage}\n```\n"
    rows = [_row(param) for param in command.params]
    if rows:
        yield "\n| argument or option | meaning | default |\n|---|---|---|\n" + "".join(rows)
    for name, one in inner.items():
        yield from _commands(one, f"{path} {name}")


def _argument(param: Any) -> str:
    word = param.name.upper() + ("..." if param.nargs == -1 else "")
    return word if param.required else f"[{word}]"


def _row(param: Any) -> str:
    if param.param_type_name == "argument":
        shown = f"`{_argument(param)}`"
    else:
        takes = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
        shown = ", ".join(f"`{one}{takes}`" for one in (*param.opts, *param.secondary_opts))
    default = param.default
    known = isinstance(default, str | int | float) and not isinstance(default, bool)
    cell = "required" if param.required else f"`{default}`" if known else ""
    return f"| {shown} | {param.help} | {cell} |\n"


_API_HEAD = """\
The API listens where the page does (`http.listen`) and wants somebody whom `http.access` knows where that is
configured, such as by `Authorization: Bearer TOKEN` ([access](access.md)). The whole of it as OpenAPI 3.1:
`/api/v1/openapi.json`.

```
curl -s 'http://127.0.0.1:8080/api/v1/insights/overview?window=30d'
curl -s 'http://127.0.0.1:8080/api/v1/query?metric=duration_p95&by=project&by=workflow&where=branch=@default&window=30d&step=1d'
```

`headgate query METRIC` asks the same from a terminal. Numbers are those of the [metric
catalogue](metrics-catalogue.md), under their names there: a percentage is a ratio from 0 to 1, a span is in seconds,
a time is RFC 3339 in UTC, and what is not known is null, which is not 0.

**Windows.** `window=7d` is the last seven days, its begin rounded down to the hour; `since` and `until` take `2h`
(ago), `now`, a date or RFC 3339, and `until` is exclusive. Runs belong to the window in which they ended. A trend
compares with the window before, exactly as long. Charts have a point for each UTC hour, day or week (`step=1h`, `1d`,
`7d`); the first and the last may be cut.

**Filters.** `branch`, `branch_class` (`@default`, `@other`), `trigger`, `org` and `team` choose runs. A query takes
matchers instead, `where=job=~test.*`, as often as needed; all must hold, and patterns are RE2's. Most figures are
read from sums (`sums` of a metric). Those by `branch`, `trigger` and machine size go with the runs behind them, so that
filters by these know as much as `store.retention.facts` keeps, while sums by day without them reach further back.

**Pages.** A list has at most `limit` rows; `next` is the `cursor` of the following page, null at the end. A cursor is
good for the same question alone: with another grouping, window, filter or project it is refused (`bad-cursor`); leave
it out to begin again. A window such as `7d` stays the same question while time goes on. Of a list that is ranked
(failures, credits, charges, repeats, machine sizes, tests, `query` and `series`) the pages that follow are of the
window of the first one, which their `since` and `until` say, so that each row comes once; what becomes known late of
that window may still move rows.

**Tags.** Every 200 to a GET has an `ETag`; sent back as `If-None-Match` it is answered 304 while nothing changed.
Answers of 1,400 bytes and more are packed for those who send `Accept-Encoding: gzip`. Files of `/api/v1/export/TABLE`
are made while they are sent, so they have no tag; workbooks are made before, which may take minutes, and packed in
themselves. Events of `/api/v1/live` have neither.

**Problems.** What cannot be answered is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`,
which `parameter` is wrong, and in `valid` what may be written there: the nearest names, or examples; `error` is the
last word of `type`. A parameter that a route does not have is refused, and so is one that is there twice where it is no
list; an empty one (`?project=`) is as good as none. Projects, workflows, jobs, tests, organisations, teams and triggers
that are not there are refused too; branches are not, because they come and go.

**Methods.** HEAD is answered as GET is, without the body.

"""


# What is no refusal of a question.
_OTHER_KINDS = (
    ("unknown", 404, "What an operation names is not there"),
    ("refused", 409, "An operation cannot be done so"),
    ("busy", 503, "Something is under way, or too many ask"),
    ("store", 503, "The store does not answer"),
    ("invalid", 400, "The body of a deployment cannot be used"),
    ("not-found", 404, "Nothing is at this address"),
    ("method", 405, "The address does not take this method"),
    ("token", 401, "Nobody who is known asks"),
    ("role", 403, "Who asks may not do this"),
    ("limited", 403, "The token is not for this address"),
    ("forged", 403, "The request may come from a page of another site"),
    ("rate", 429, "Too many requests or wrong secrets; `Retry-After` says how long to wait"),
    ("host", 421, "The name is not served here"),
    ("doubled", 400, "A header that decides is there twice"),
    ("long", 414, "An address of what the trail keeps is longer than it keeps"),
    ("body", 413, "The body of a request is longer than 1 MiB"),
)


def api_page() -> str:
    """Every route, its parameters, and the models of answers, from the application itself."""
    nobody = cast("Any", None)
    app = build_app(nobody, nobody, MetricPages(bytes, lambda _: b""), version="0")
    add_insights(app, lambda: Lens(nobody, 0))
    add_exports(app, nobody, lambda: Lens(nobody, 0))
    add_rule_pages(app, nobody)
    document = app.openapi()
    kinds = [f"| `urn:headgate:problem:{kind}` | {title} |\n" for kind, title in TITLES.items()]
    kinds += [f"| `urn:headgate:problem:{kind}` | {words}; status {status} |\n" for kind, status, words in _OTHER_KINDS]
    text = f"# API\n\n{_MARK}{_API_HEAD}| type | meaning |\n|---|---|\n{''.join(kinds)}\n## Insights\n"
    text += "".join(_api_part(path, one["get"]) for path, one in document["paths"].items() if _is_insight(one))
    models = {name: one for name, one in document["components"]["schemas"].items() if _is_answer(name, document)}
    text += "\n## Answers\n" + "".join(_model_part(name, one) for name, one in sorted(models.items()))
    text += "\n## Other routes\n\n| route | what it does |\n|---|---|\n"
    rows = [
        f"| `{method} {route.path}` | {(route.description or '').splitlines()[0]} |\n"
        for route in app.routes
        if isinstance(route, APIRoute) and route.include_in_schema and "insights" not in route.tags
        for method in sorted(route.methods)
    ]
    return text + "".join(rows)


_TABLES_HEAD = """Every table that can be exported, the words that it takes and its columns; [Exports](exports.md) says
how.

Words that all windowed tables take: `since`, `until`, `window`. A column `NAME_previous` has the value of the window
before, `NAME_n` the sample. Units are those of the [metric catalogue](metrics-catalogue.md).
"""


def tables_page() -> str:
    """Tables of exports with their columns, from the registry."""
    text = f"# Tables\n\n{_MARK}{_TABLES_HEAD}"
    lens = Lens(cast("Any", None), 0)
    for table in TABLES.values():
        words = {name: ["runs" if name == "metric" else "x"] for name in table.needs}
        columns = table.columns(lens, read_asking(table, words, now_ms=1_700_000_000_000))
        takes = ", ".join(f"`{name}`{' (needed)' if name in table.needs else ''}" for name in table.takes) or "nothing"
        rows = [f"| `{one.id}` | {one.kind} | {one.unit} | {one.doc} |\n" for one in columns]
        text += f"\n## {table.name}\n\n{table.doc} Takes {takes}.\n\n"
        text += "| column | type | unit | meaning |\n|---|---|---|---|\n" + "".join(rows)
    return text


def _is_insight(one: dict[str, Any]) -> bool:
    return "insights" in one.get("get", {}).get("tags", ())


def _is_answer(name: str, document: dict[str, Any]) -> bool:
    """Whether a model is part of an answer of insights."""
    todo = [json.dumps(one["get"]["responses"]["200"]) for one in document["paths"].values() if _is_insight(one)]
    seen: set[str] = set()
    while todo:
        for part in todo.pop().split("#/components/schemas/")[1:]:
            found = part.split('"')[0]
            if found not in seen:
                seen.add(found)
                todo.append(json.dumps(document["components"]["schemas"][found]))
    return name in seen


def _api_part(path: str, one: dict[str, Any]) -> str:
    model = one["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    text = f"\n### {path}\n\n{one['description']} Answers [{model}](#{model.lower()}).\n"
    rows = [
        f"| `{p['name']}` | {_type(p['schema'])} | {'required' if p['required'] else _default(p['schema'])} |"
        f" {p.get('description', '')} |\n"
        for p in sorted(one.get("parameters", ()), key=lambda p: not p["required"])
        if p["in"] != "header"
    ]
    return text + ("\n| parameter | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows) if rows else "")


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in (None, "", []) else f"`{json.dumps(value)}`"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return f"[{model}](#{model.lower()})"
    if "anyOf" in schema:
        known = [_type(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(known) + (" or null" if len(known) < len(schema["anyOf"]) else "")
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"] if word)
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"name -> {_type(inner)}" if isinstance(inner, dict) else "object"
    return str(schema.get("type", "any"))


def _model_part(name: str, model: dict[str, Any]) -> str:
    rows = [f"| `{field}` | {_type(schema)} |\n" for field, schema in model["properties"].items()]
    meaning = " ".join(model.get("description", "").split())
    return f"\n### {name}\n\n{meaning}\n\n| field | type |\n|---|---|\n{''.join(rows)}"


def _with_options(name: str, model: type[Any], more: str = "") -> Callable[[], str]:
    """A page written by hand whose option table is that of a model, and `more` rows."""
    return lambda: with_table((DOCS / name).read_text(encoding="utf-8"), model, more)


PAGES: dict[str, Callable[[], str]] = {
    "metrics.md": metrics_page,
    "measures.md": measures_page,
    "metrics-catalogue.md": catalogue_page,
    "records.md": records_page,
    "api.md": api_page,
    "tables.md": tables_page,
    "cli.md": cli_page,
    "configuration.md": _with_options(
        "configuration.md", Settings, option_table(RecordsConfig, "sinks.<name>.records.")
    ),
    "sources/circleci.md": _with_options("sources/circleci.md", CircleCIConfig),
}
