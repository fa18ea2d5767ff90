"""When a group ran: the hours that had runs, and its newest runs, whatever else ran meanwhile. Over real stores."""

import pytest
from tests.unit.insights.world import DAY, HOUR, NOW, World, sqlite, tell

from headgate.core.clock import ManualClock
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import parse_matcher
from headgate.insights.newest import newest_of
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.reader import Reader
from headgate.store import MemoryStore

PROJECT = "gh/acme/web"
OWNERS = Owners([parse_owner({"workflow": "ship"}, "release"), parse_owner(["project=~gh/acme/.*"], "acme")])
WORLD = World(300)
GROUPS = [
    ({}, []),
    ({"workflow": "ship"}, []),
    ({}, ["workflow=ship", "branch=@default"]),
    ({"branch_class": "@other"}, ["workflow=~s.*"]),
    ({"workflow": "build", "branch": "fix/a"}, ["trigger!=api"]),
    ({"trigger": "schedule"}, ["project=~gh/acme/.*"]),
    ({"team": "release"}, []),
    ({}, ["team!=release"]),
]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    """With the whole world in it."""
    made = MemoryStore(clock=ManualClock(NOW)) if request.param == "memory" else sqlite(tmp_path)
    await made.open()
    await tell(made, WORLD.told())
    yield made
    await made.close()


def truth(group, where):
    """Ends of the group's runs, ascending."""
    ends = []
    for run in WORLD.runs:
        team = "release" if run["workflow"] == "ship" else "acme"
        values = {**run, "team": team, "branch_class": "@default" if run["branch"] == "main" else "@other"}
        if values["branch"] == "main" and "branch=@default" in where:
            values["branch"] = "@default"
        taken = all(one.accepts(values[one.label]) for one in map(parse_matcher, where))
        if run["project"] == PROJECT and taken and all(values[name] == value for name, value in group.items()):
            ends.append(run["stopped"])
    return sorted(ends)


async def test_hours_and_newest_runs_are_those_of_the_group(store):
    """By each dimension, and by filters of all forms."""
    since_ms, until_ms = (NOW - 9 * DAY) // HOUR * HOUR, NOW // HOUR * HOUR
    for named, texts in GROUPS:
        group, where = {"project": PROJECT, **named}, [parse_matcher(text) for text in texts]
        ends = [at for at in truth(named, texts) if since_ms <= at < until_ms]
        assert len(ends) > 5
        found = await Reader(store, owners=OWNERS).hours(
            CATALOGUE.names["runs"], by=tuple(group), where=where, bounds={PROJECT: (since_ms, until_ms)}
        )
        assert sorted({at // HOUR * HOUR for at in ends}) == found[tuple(sorted(group.items()))]
        runs = await newest_of(store, group, where, owners=OWNERS, since_ms=since_ms, until_ms=until_ms, limit=1000)
        assert ends == [run.stopped_ms for run in runs][::-1]
        last = await newest_of(store, group, where, owners=OWNERS, until_ms=until_ms, limit=300)
        assert ends[-1:] == [run.stopped_ms for run in last][:1]


async def test_a_metric_of_single_runs_has_no_hours():
    """It is said, and not that nothing ran."""
    with pytest.raises(TypeError):
        await Reader(MemoryStore(clock=ManualClock(NOW)), owners=Owners()).hours(
            CATALOGUE.names["mttr"], by=("project",), where=(), bounds={PROJECT: (0, NOW)}
        )
