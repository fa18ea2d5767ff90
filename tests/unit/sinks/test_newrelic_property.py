"""Whatever a record holds, New Relic has no reason to refuse or drop what becomes of it."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.core.record import KINDS, Record, decode_record
from headgate.sinks._newrelic_metrics import metrics
from headgate.sinks._newrelic_records import SPAN_KINDS, event, log, span
from headgate.testing.sink_harness import NOW_MS, make_entry
from headgate.testing.sinks.vendors import _newrelic_rules as rules

NAMES = st.one_of(
    st.sampled_from(sorted(rules.RESERVED)),
    st.sampled_from(sorted(decode_record(make_entry(1).body).attributes)),
    st.sampled_from(["tag.team", "tag.value", "tag.service", "id", "name", "tag.id", "circleci.insight.success_rate"]),
    st.text("abc._", min_size=1, max_size=400),
)
VALUES = st.one_of(
    st.text(min_size=1, max_size=50),
    st.text("é€", min_size=1_000, max_size=5_000),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=5),
)


@st.composite
def some_record(draw: Any) -> Record:
    """A record of any kind with odd attributes, sometimes very many."""
    made = decode_record(make_entry(1, kind=draw(st.sampled_from(KINDS))).body)
    own = draw(st.dictionaries(NAMES, VALUES, max_size=20))
    many = {f"circleci.n{n}": n for n in range(draw(st.sampled_from([0, 0, 300])))}
    project = draw(st.sampled_from(["gh/acme/web", "circleci/a/b", "odd", None]))
    return msgspec.structs.replace(made, attributes={**made.attributes, **own, **many}, project=project)


IDS = {"cicd.pipeline.run.id": "0", "cicd.pipeline.task.run.id": "0"}


@settings(max_examples=200, deadline=None)
@example(msgspec.structs.replace(decode_record(make_entry(1, kind="job").body), attributes=IDS))
@given(some_record())
def test_no_form_breaks_a_rule(record: Record) -> None:
    """The strict server's rules find no fault with any form of any record, as it is after the wire."""
    for judge, item in (
        (rules.event, event(record, NOW_MS)),
        (rules.log, log(record, NOW_MS)),
        *((rules.metric, one) for one in metrics([record], ids=True)),
    ):
        assert judge(orjson.loads(orjson.dumps(item)), NOW_MS) is None
    if record.kind in SPAN_KINDS:
        assert rules.span(orjson.loads(orjson.dumps(span(record, NOW_MS)))) is None
