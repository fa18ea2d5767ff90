"""The same sums asked of every row: by SQLite without an index, and by DuckDB where it is installed (extra `bench`)."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.store.sql import Database

__all__ = ["NAIVE", "duckdb_seconds", "naive_seconds", "scan_seconds"]

_COLUMNS = ("_project", "_run", "name", "status", "queued_at", "started_at", "stopped_at", "credits")
_SCAN = (
    "SELECT _project, _run, name, count(*), sum(status = 1), sum(credits), avg(stopped_at - started_at)"
    " FROM job NOT INDEXED WHERE _terminal AND stopped_at >= ? AND stopped_at < ? GROUP BY 1, 2, 3"
)
_DUCK = (
    "SELECT _project, _run, name, count(*), count(*) FILTER (status = 1), sum(credits), avg(stopped_at - started_at)"
    " {quantiles} FROM job WHERE stopped_at >= ? AND stopped_at < ? GROUP BY 1, 2, 3"
)
_QUANTILES = ", quantile_disc(stopped_at - started_at, 0.95), quantile_disc(started_at - queued_at, 0.5)"

# What somebody would ask without knowing how it is stored. Parameters: begin and end, milliseconds.
NAIVE = {
    "repeats": "SELECT w._project, count(*), sum(w.credits) FROM workflow w NOT INDEXED"
    " JOIN workflow o ON o._key = w.rerun_of JOIN dim d ON d.id = o.status"
    " WHERE d.text = 'failed' AND w.stopped_at >= ? AND w.stopped_at < ? GROUP BY 1",
    "bills": "SELECT _project, workflow_name, job_name, resource_class, count(*), sum(total_credits)"
    " FROM usage NOT INDEXED WHERE stopped_at >= ? AND stopped_at < ? GROUP BY 1, 2, 3, 4",
    "failed jobs": "SELECT j._key, j.stopped_at FROM job j NOT INDEXED JOIN dim d ON d.id = j.status"
    " WHERE d.text IN ('failed', 'infrastructure_fail') AND j.stopped_at >= ? AND j.stopped_at < ?"
    " ORDER BY j.stopped_at DESC LIMIT 1000",
}


def naive_seconds(path: Path, name: str, since_ms: int, until_ms: int) -> float:
    """One of `NAIVE`, asked once."""
    db = Database(str(path))
    took = _seconds(lambda: db.execute(NAIVE[name], (since_ms, until_ms)).fetchall(), rounds=1)
    db.close()
    return took


def scan_seconds(path: Path, since_ms: int, until_ms: int) -> float:
    """A full scan, without quantiles."""
    db = Database(str(path))
    took = _seconds(lambda: db.execute(_SCAN, (since_ms, until_ms)).fetchall(), rounds=1)
    db.close()
    return took


def duckdb_seconds(path: Path, since_ms: int, until_ms: int, *, quantiles: bool) -> float | None:
    """Over a copy of the jobs in its own format, made once beside the store; None where it is not installed."""
    try:
        import duckdb  # a peer that most people do not have
    except ImportError:
        return None
    copy = path.with_suffix(".duckdb")
    if not copy.exists():
        _copy(duckdb, path, copy)
    db = duckdb.connect(str(copy), read_only=True)
    sql = _DUCK.format(quantiles=_QUANTILES if quantiles else "")
    took = _seconds(lambda: db.execute(sql, [since_ms, until_ms]).fetchall(), rounds=5)
    db.close()
    return took


def _seconds(ask: Callable[[], Any], *, rounds: int) -> float:
    took = []
    for _ in range(rounds):
        begin = time.monotonic()
        ask()
        took.append(time.monotonic() - begin)
    return sorted(took)[rounds // 2]


def _copy(duckdb: Any, path: Path, copy: Path) -> None:
    partial, rows = copy.with_suffix(".partial"), copy.with_suffix(".csv")
    partial.unlink(missing_ok=True)
    source = Database(str(path))
    with rows.open("w", newline="") as file:
        chosen = ", ".join(_COLUMNS)
        csv.writer(file).writerows(source.execute(f"SELECT {chosen} FROM job WHERE _terminal"))
    source.close()
    db = duckdb.connect(str(partial))
    columns = ", ".join(f"'{name}': 'BIGINT'" for name in _COLUMNS)
    db.execute(f"CREATE TABLE job AS SELECT * FROM read_csv('{rows}', header=false, columns={{{columns}}})")
    db.close()
    rows.unlink()
    partial.rename(copy)
