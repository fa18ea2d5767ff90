"""A store as an earlier release left it: it opens, and goes on where it was.

One file of SQL for each schema that was released, in tests/data/store; a new migration adds one and edits none.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from tests.e2e.harness import ROOT, headgate, write_config

from headgate.store.schema import migrations

STORES = sorted((ROOT / "tests" / "data" / "store").glob("schema-*.sql"))
DELIVERED = "410c427b-40a8-4bb4-9d42-5561f5bce5ba"
NOT_DELIVERED = "8661e6d1-e6e3-57ed-a2c5-63c5486d3cd5"
WAITING_JOB = "20e45d7e-e4a7-4aa3-8f92-fd6d9d01da75"


def old_store(folder: Path, sql: Path) -> tuple[Path, bytes]:
    """A configuration over the old store, and the stored bytes of the record that was not delivered."""
    db = sqlite3.connect(folder / "headgate.db")
    db.executescript(sql.read_text())
    (body,) = db.execute("SELECT body FROM log_backfill WHERE record_id = ?", (NOT_DELIVERED,)).fetchone()
    db.close()
    return write_config(folder, {"out": {"type": "jsonl", "path": "-"}}), body


def test_each_released_schema_has_a_store() -> None:
    """Every migration but those of the release in the making is the newest of some kept store, without gaps."""
    numbers = [int(path.stem.removeprefix("schema-")) for path in STORES]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers[-1] <= migrations()[-1][0]


@pytest.mark.parametrize("sql", STORES, ids=lambda path: path.stem)
def test_an_older_store_is_read_merged_and_delivered_from(tmp_path: Path, sql: Path) -> None:
    """What was kept is merged with what was known, what waited leaves as it was stored, and nothing leaves twice."""
    config, body = old_store(tmp_path, sql)
    done = headgate("run", "-c", str(config), "--until-idle", "--timeout", "60", seconds=90)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.encode().splitlines()
    assert lines[0] == body
    records = [json.loads(line) for line in lines]
    assert [NOT_DELIVERED] == [record["id"] for record in records if record["id"] == NOT_DELIVERED]
    (job,) = [record for record in records if record["attributes"].get("cicd.pipeline.task.run.id") == WAITING_JOB]
    assert job["attributes"]["cicd.pipeline.run.id"] == DELIVERED
    assert not [record for record in records if record["kind"] == "workflow"]

    status = json.loads(headgate("status", "--json", "-c", str(config)).stdout)
    assert status["store"]["schema"] == migrations()[-1][0]
    assert (0, 1) == (status["inbox"]["waiting"], status["inbox"]["dead"])
    assert status["sinks"]["out"]["signals"]["lines"]["accepted"] == len(records) + 1

    told = headgate("explain", DELIVERED, "-c", str(config)).stdout
    assert "workflow" in told
    assert "gh/DavidS/circleci-hook" in told
