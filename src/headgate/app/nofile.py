"""The configuration without a file: what a token and the command line alone give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headgate.core.errors import ConfigError

__all__ = ["demand_token", "set_orgs", "without_file"]


def without_file(env: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that a token alone gives: poll CircleCI, keep in the state directory, print records."""
    state = Path(env.get("XDG_STATE_HOME") or Path(env.get("HOME") or "~").expanduser() / ".local" / "state")
    source: dict[str, Any] = {"type": "circleci"}
    if env.get("CIRCLECI_TOKEN"):
        source["token"] = env["CIRCLECI_TOKEN"]
    if env.get("CIRCLECI_ORGS"):
        source["orgs"] = [org.strip() for org in env["CIRCLECI_ORGS"].split(",") if org.strip()]
    if env.get("CIRCLECI_WEBHOOK_SECRET"):
        source["webhook"] = {"secrets": [env["CIRCLECI_WEBHOOK_SECRET"]]}
    return {
        "version": 1,
        "store": {"url": f"sqlite://{(state / 'headgate' / 'headgate.db').absolute()}"},
        "sources": {"circleci": source},
        "sinks": {"stdout": {"type": "jsonl", "path": "-"}},
    }


def set_orgs(data: dict[str, Any], orgs: Sequence[str]) -> None:
    """Replace the organisations of the only CircleCI source. Raises ConfigError where there is none, or several."""
    sources = data.get("sources")
    found = [
        name for name, value in (sources or {}).items() if isinstance(value, dict) and value.get("type") == "circleci"
    ]
    if not isinstance(sources, dict) or len(found) != 1:
        raise ConfigError("--org: needs exactly one source of type circleci; write orgs: into the file instead")
    data["sources"] = {**sources, found[0]: {**sources[found[0]], "orgs": list(orgs)}}


def demand_token(data: Mapping[str, Any]) -> None:
    """Raise ConfigError that says how to give a token, where there is none."""
    if not data["sources"]["circleci"].get("token"):
        raise ConfigError(
            "environment: CIRCLECI_TOKEN is not set, and there is no configuration file; "
            "set CIRCLECI_TOKEN and CIRCLECI_ORGS, or pass a file with -c, or try `headgate demo`"
        )
