"""The newest runs of one group, found by what names it: what others run meanwhile is not read.

Invariant: a run is of a group exactly where the sums of the group count it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.runrows import RunChoice, RunRow
from headgate.core.storeport import ReadStore
from headgate.core.tally import DEFAULT_BRANCH
from headgate.insights.dimensions import ROW_VALUES
from headgate.insights.match import Matcher, by_class
from headgate.insights.owners import Owners

__all__ = ["newest_of"]


async def newest_of(
    store: ReadStore,
    group: Mapping[str, str],
    where: Sequence[Matcher],
    *,
    owners: Owners,
    since_ms: int = 0,
    until_ms: int,
    limit: int,
) -> Sequence[RunRow]:
    """Runs of a group, which names its project, that ended within the time: newest first, of `limit` that are read."""
    matchers = [by_class(one) for one in where]
    named = {**{one.label: one.value for one in matchers if one.op == "="}, **group}
    workflow, branch_class = named.get("workflow"), named.get("branch_class")
    chosen = RunChoice(
        branch=named.get("branch", ""),
        branch_class=None if branch_class is None else int(branch_class == DEFAULT_BRANCH),
        trigger=named.get("trigger", ""),
    )
    read = await store.newest_runs(
        {group["project"]: (workflow,) if workflow else None},
        chosen=chosen,
        since_ms=since_ms,
        before=(until_ms, ""),
        limit=limit,
    )
    return [run for run in read if _is_of(group, matchers, run, owners)]


def _is_of(group: Mapping[str, str], matchers: Sequence[Matcher], run: RunRow, owners: Owners) -> bool:
    values = {name: value_of(run) for name, value_of in ROW_VALUES["runs"].items()}
    values["team"] = owners.team(run.project, run.workflow, "")
    taken = all(one.accepts(values[one.label]) for one in matchers if one.label in values)
    return taken and all(values[name] == value for name, value in group.items() if name in values)
