"""`python -m benchmarks [NAME…] [--json FILE] [--long]`: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    datadog_ways,
    deliver,
    detect,
    encode_datadog,
    encode_elasticsearch,
    encode_newrelic,
    encode_otlp,
    encode_sumologic,
    first_paint,
    five,
    history,
    ingest,
    insights,
    many_rules,
    projects,
    quiet_rules,
)
from benchmarks.report import Row, as_json, table

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "ingest": ingest.run,
    "sustained": deliver.sustained,
    "latency": deliver.latency,
    "drain": deliver.drain,
    "idle": deliver.idle,
    "neighbour": deliver.neighbour,
    "failing": deliver.failing,
    "first-paint": first_paint.run,
    "five": five.run,
    "backfill": history.backfill,
    "datadog-ways": datadog_ways.run,
    "encode-datadog": encode_datadog.run,
    "many-rules": many_rules.run,
    "projects": projects.projects,
    "quiet-rules": quiet_rules.run,
    "encode-sumologic": encode_sumologic.run,
    "encode-newrelic": encode_newrelic.run,
    "encode-elasticsearch": encode_elasticsearch.run,
    "encode-otlp": encode_otlp.run,
    "insights": insights.run,
    "detect": detect.run,
}


def main() -> int:
    """Run the named benchmarks, all by default. Exit code 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep the store of `insights` there and use it again")
    parser.add_argument("--long", action="store_true", help="10 million records and real minutes")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    rows: list[Row] = []
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        more = {"store": arguments.store} if name in ("insights", "first-paint") else {}
        rows += BENCHMARKS[name](long=arguments.long, **more)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(rows), indent=1) + "\n")
    return 1 if any(item.met is False for item in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
