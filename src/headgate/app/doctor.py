"""`headgate doctor`: measures this machine and says what to expect of it; makes a bundle without secrets."""

from __future__ import annotations

import io
import os
import platform
import shutil
import statistics
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import apsw
import orjson

from headgate import __version__
from headgate.app.settings import Configuration
from headgate.app.shown import shown_configuration
from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.ports import Source

__all__ = ["Finding", "examine", "versions", "write_bundle"]

_APPENDS = 200
_APPEND_BYTES = 4096
# What one flush of the webhook path carries under load: groups of 20 to 37 were measured at 64 connections.
_GROUP = 25
# 3.7.0 to 3.51.2 have the WAL-reset corruption bug (sqlite.org, "WAL-mode file format", read 2026-11).
_SAFE_SQLITE = (3, 51, 3)
_LOW_DISK = 1_000_000_000
_PACKAGES = (
    "apsw", "fastapi", "uvicorn", "uvloop", "httptools", "httpx", "pydantic", "msgspec", "orjson", "apscheduler",
    "prometheus-client", "structlog", "elasticsearch", "isal", "xlsxwriter",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was measured. `value` has its unit in `unit`; `fix` is empty when `ok`."""

    name: str
    ok: bool
    value: Any
    unit: str
    fix: str = ""


def examine(configuration: Configuration, sources: Mapping[str, Source], clock: Clock) -> list[Finding]:
    """Measure flushes, disk, SQLite and clocks. `sources` should have made a call, so that their skew is known.

    Raises StoreError when the store's directory cannot be written.
    """
    path = configuration.settings.store.path
    directory = path.parent
    flush = _flush_seconds(directory, clock)
    typical = statistics.median(flush)
    worst = sorted(flush)[int(len(flush) * 0.99)]
    free = shutil.disk_usage(directory).free
    findings = [
        Finding("flush_median", ok=typical < 0.02, value=round(typical * 1000, 3), unit="ms", fix=_slow(typical)),
        Finding("flush_p99", ok=worst < 0.2, value=round(worst * 1000, 3), unit="ms", fix=_slow(worst / 10)),
        Finding("expected_webhooks", ok=True, value=round(_GROUP / typical), unit="1/s at most, by flushes alone"),
        _sqlite(),
        Finding("disk_free", ok=free > _LOW_DISK, value=free, unit="bytes", fix=_full(free, directory)),
        Finding("store_bytes", ok=True, value=_size(path), unit="bytes"),
    ]
    return findings + [_skew(name, source) for name, source in sources.items()]


def _slow(seconds: float) -> str:
    return "" if seconds < 0.02 else "flushes are slow: put the store on a local disk, not on network storage"


def _full(free: int, directory: Path) -> str:
    return "" if free > _LOW_DISK else f"little space is left on the disk of {directory}"


def _flush_seconds(directory: Path, clock: Clock) -> list[float]:
    """Seconds of each of 200 flushed appends in the store's own directory."""
    probe = directory / f".headgate-doctor-{os.getpid()}"
    block = b"\0" * _APPEND_BYTES
    seconds: list[float] = []
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise StoreError(
            f"{directory}: cannot be written: {exc.strerror}; create it or point store.url elsewhere"
        ) from exc
    try:
        for _ in range(_APPENDS):
            began = clock.monotonic()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            seconds.append(clock.monotonic() - began)
    except OSError as exc:
        raise StoreError(f"{directory}: a flush failed: {exc.strerror}; check the disk") from exc
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)
    return seconds


def _sqlite() -> Finding:
    text = apsw.sqlite_lib_version()
    ok = tuple(int(part) for part in text.split(".")) >= _SAFE_SQLITE
    return Finding("sqlite", ok=ok, value=text, unit="", fix="" if ok else "update apsw: this SQLite can lose a WAL")


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.parent.glob(path.name + "*") if part.is_file())


def _skew(name: str, source: Source) -> Finding:
    skew = round(source.usage().skew_seconds, 1)
    ok = abs(skew) < 30
    fix = "" if ok else "set this machine's clock: lateness and windows are judged by it"
    return Finding(f"clock_skew.{name}", ok=ok, value=skew, unit="s, theirs minus ours", fix=fix)


def versions() -> dict[str, str]:
    """What runs: Headgate, Python, the system and the packages it stands on."""
    found = {"headgate": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_bundle(
    target: Path, configuration: Configuration, findings: Sequence[Finding], status: Mapping[str, Any] | None
) -> None:
    """A tar.gz for a support request: configuration without secrets, status, findings, versions."""
    parts: dict[str, Any] = {
        "configuration.json": shown_configuration(configuration),
        "status.json": status,
        "versions.json": versions(),
        "findings.json": [
            {"name": one.name, "ok": one.ok, "value": one.value, "unit": one.unit, "fix": one.fix} for one in findings
        ],
    }
    with tarfile.open(target, "w:gz") as bundle:
        for name, content in parts.items():
            body = orjson.dumps(content, option=orjson.OPT_INDENT_2)
            entry = tarfile.TarInfo(f"headgate-doctor/{name}")
            entry.size = len(body)
            bundle.addfile(entry, io.BytesIO(body))
