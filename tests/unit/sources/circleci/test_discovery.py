"""Which projects are found, under which name, and what becomes of those that vanish."""

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from headgate.core.clock import ManualClock
from headgate.core.discovery import decode_found
from headgate.core.errors import SourceRefused, SourceUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.times import DAY_MS, format_ms
from headgate.sources.circleci.api import Page
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.discovery import Discovery

NOW = 1_795_000_000_000
SAMPLE = Path(__file__).parents[3] / "data" / "circleci" / "api-v1.1" / "projects.json"


def uuid(number):
    return f"d0000000-0000-4000-8000-{number:012d}"


class FakeApi:
    """CircleCI as tables. `projects`: slug -> id; `pipelines`: org -> (slug, age in days); None: not allowed."""

    skew_ms = 0
    refused = None

    def __init__(self):
        self.projects, self.pipelines, self.insights, self.rows = {}, {}, {}, None
        self.asked, self.down, self.broken = [], False, None

    async def get(self, route, *, params=None, patient=False, **parts):
        slug = parts.get("slug", "")
        self.asked.append(route.format(**parts))
        if self.down:
            raise SourceUnavailable("down")
        if route == "/api/v1.1/projects":
            if self.rows is None:
                raise SourceRefused("403", reason="no_access", fix="")
            return self.rows
        if route.startswith("/api/v2/insights/"):
            if slug not in self.insights:
                raise SourceRefused("404", reason="project_not_found", fix="")
            return {"all_projects": self.insights[slug], "org_project_data": []}
        number = self.projects.get(slug)
        if number == "forbidden":
            raise SourceRefused("403", reason="no_access", fix="")
        if number is None:
            raise SourceRefused("404", reason="project_not_found", fix="")
        names = [name for name, other in self.projects.items() if other == number]
        return {"slug": names[-1], "id": uuid(number), "vcs_info": {"default_branch": "main"}}

    async def pages(self, route, *, params, **_parts):
        items, first = self.pipelines.get(params["org-slug"], ()), int(params.get("page-token", 1))
        for number, (slug, days) in enumerate(items[first - 1 :], first):
            if self.broken in {number, params["org-slug"]}:
                raise SourceUnavailable("down")
            self.asked.append(f"{route} {params['org-slug']}")
            item = {"project_slug": slug, "created_at": format_ms(NOW - round(days * DAY_MS))}
            yield Page([item], more=number < len(items), next=str(number + 1) if number < len(items) else None)


class Rig:
    """A discovery on a clock that moves when told."""

    def __init__(self, **fields):
        self.api, self.clock = FakeApi(), ManualClock(NOW)
        self.config = CircleCIConfig.model_validate({"token": "t", "orgs": ["gh/acme"]} | fields)
        self.restart()

    def restart(self):
        """The same after a restart: only what is stored is known."""
        stored = self.discovery.found.encode() if hasattr(self, "discovery") else None
        self.discovery = Discovery("ci", self.config, self.api, clock=self.clock, metrics=NullMetrics())
        self.discovery.recall(decode_found(stored))

    async def slugs(self, days=0.0):
        self.clock.advance(days * 86_400)
        self.api.asked.clear()
        return [scope.slug for scope in await self.discovery.scopes()]


async def test_three_lists_and_the_configuration_make_one():
    """Pipelines, Insights, followed projects, names in the configuration: each project once, under one name."""
    rig = Rig(projects={"include": ["gh/acme/*", "github/other/named"], "exclude": ["gh/acme/no"]})
    rig.api.projects = dict(zip(["gh/acme/a", "gh/acme/b", "gh/acme/c", "gh/other/named"], range(4), strict=True))
    rig.api.pipelines = {"gh/acme": [("github/acme/a", 0.1), ("gh/acme/a", 0.2), ("gh/acme/no", 0.3)]}
    rig.api.insights = {"gh/acme": ["a", "b", "no"]}
    rig.api.rows = [
        {"vcs_type": "github", "username": "acme", "reponame": "c"},
        {"vcs_type": "github", "username": "elsewhere", "reponame": "x"},
        {"vcs_type": "github", "username": "acme"},
    ]
    assert ["gh/acme/a", "gh/acme/b", "gh/acme/c", "gh/other/named"] == await rig.slugs()


async def test_the_captured_list_of_followed_projects():
    """The captured answer names its projects."""
    rows = json.loads(SAMPLE.read_text())
    org = f"gh/{rows[0]['username']}"
    rig = Rig(orgs=[org])
    rig.api.rows = rows
    rig.api.projects = {f"gh/{row['username']}/{row['reponame']}": at for at, row in enumerate(rows)}
    wanted = sorted(slug for slug in rig.api.projects if slug.startswith(f"{org}/"))
    assert wanted
    assert wanted == await rig.slugs()


@pytest.mark.parametrize("org", ["gh/acme", "bb/acme", "circleci/Org22", "github/acme", "bitbucket/acme"])
async def test_every_form_of_an_organisation(org):
    """The first look goes back `look_back` where Insights name nothing, and includes a pipeline of each form."""
    rig = Rig(orgs=[org])
    (short,) = rig.config.orgs
    rig.api.projects = {f"{short}/new": 1, f"{short}/old": 2, f"{short}/older": 3}
    rig.api.pipelines = {short: [(f"{org}/new", 0.1), (f"{org}/old", 80), (f"{org}/older", 91), (f"{org}/never", 92)]}
    assert [f"{short}/new", f"{short}/old", f"{short}/older"] == await rig.slugs()


async def test_insights_spare_the_long_look():
    """Where Insights name the projects, pipelines are looked through for `poll.initial` alone."""
    rig = Rig()
    rig.api.projects, rig.api.insights = {"gh/acme/a": 1}, {"gh/acme": ["a"]}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", days) for days in range(1, 80)]}
    assert ["gh/acme/a"] == await rig.slugs()
    assert 2 == rig.api.asked.count("/api/v2/pipeline gh/acme")


async def test_a_look_that_was_cut_goes_on_later():
    """Behind the last page that was read, over a restart too, until all of `look_back` was seen; the newest as well."""
    rig = Rig(discover={"max_pages": 2})
    rig.api.projects = {f"gh/acme/{name}": number for number, name in enumerate("abcdef")}
    rig.api.pipelines = {"gh/acme": [(f"gh/acme/{name}", 10 * number) for number, name in enumerate("abcde", 1)]}
    with capture_logs() as logs:
        assert ["gh/acme/a", "gh/acme/b"] == await rig.slugs()
    assert [line["org"] for line in logs if line["event"] == "discovery_capped"] == ["gh/acme"]
    rig.restart()
    assert ["gh/acme/a", "gh/acme/b", "gh/acme/c", "gh/acme/d"] == await rig.slugs(days=0.1)
    rig.restart()
    assert [f"gh/acme/{name}" for name in "abcde"] == await rig.slugs(days=0.1)
    assert rig.discovery.found.unseen == []
    await rig.slugs(days=0.1)
    assert rig.api.asked == ["/api/v2/pipeline gh/acme"]


async def test_a_page_that_cannot_be_had_is_given_up():
    """It holds up nothing else meanwhile."""
    rig = Rig(discover={"max_pages": 1})
    rig.api.projects = {"gh/acme/a": 1, "gh/acme/b": 2}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", 10), ("gh/acme/b", 20)]}
    await rig.slugs()
    rig.api.broken = 2
    for _ in range(5):
        assert len(rig.discovery.found.unseen) == 1
        assert ["gh/acme/a"] == await rig.slugs(days=0.1)
    assert rig.discovery.found.unseen == []


async def test_an_organisation_that_cannot_be_asked_hides_no_other():
    """Also after a restart; its own projects are found when it answers, as far back as at first."""
    rig = Rig(orgs=["gh/acme", "gh/down", "gh/other"])
    rig.api.projects = {"gh/acme/a": 1, "gh/other/a": 2, "gh/down/a": 3}
    rig.api.pipelines = {f"gh/{name}": [(f"gh/{name}/a", 50)] for name in ("acme", "down", "other")}
    rig.api.broken = "gh/down"
    for _ in range(2):
        with capture_logs() as logs:
            assert ["gh/acme/a", "gh/other/a"] == await rig.slugs(days=0.1)
        assert ["gh/down"] == [line["org"] for line in logs if line["event"] == "discovery_unavailable"]
        rig.restart()
    rig.api.broken = None
    assert ["gh/acme/a", "gh/down/a", "gh/other/a"] == await rig.slugs(days=0.1)


async def test_an_organisation_that_did_not_answer_is_asked_again_with_the_next_turn():
    """It alone, and not after `discover.every`; said once, and that its projects are not known yet."""
    rig = Rig(orgs=["gh/acme", "gh/other"])
    rig.api.projects = {"gh/acme/a": 1, "gh/other/b": 2}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", 0.1)], "gh/other": [("gh/other/b", 0.1)]}
    rig.api.broken = "gh/other"
    minute = 1 / 1440
    with capture_logs() as logs:
        for _ in range(3):
            assert ["gh/acme/a"] == await rig.slugs(days=minute)
            assert ["gh/other"] == rig.discovery.found.unknown
    assert 1 == len([line for line in logs if line["event"] == "discovery_unavailable"])
    assert "/api/v2/pipeline gh/acme" not in rig.api.asked
    rig.api.broken = None
    assert ["gh/acme/a", "gh/other/b"] == await rig.slugs(days=minute)
    assert [] == rig.discovery.found.unreached
    await rig.slugs(days=0.1)
    assert "/api/v2/project/gh/acme/a" in rig.api.asked  # what is asked daily, as one of its lists was missed


async def test_where_nothing_could_be_asked_nothing_is_known():
    """It is said as it is, and not that there are no projects."""
    rig = Rig()
    rig.api.pipelines, rig.api.broken = {"gh/acme": [("gh/acme/a", 0.1)]}, "gh/acme"
    with pytest.raises(SourceUnavailable):
        await rig.slugs()


async def test_a_restart_asks_for_nothing_that_is_known():
    """One page of pipelines: no long look, no project, no list that is asked once a day."""
    rig = Rig()
    rig.api.projects = {f"gh/acme/{number}": number for number in range(5)}
    rig.api.pipelines = {"gh/acme": [(f"gh/acme/{number}", 1 + 10 * number) for number in range(5)]}
    first = await rig.slugs()
    assert 5 == len(first)
    rig.restart()
    assert first == await rig.slugs(days=0.1)
    assert ["/api/v2/pipeline gh/acme"] == rig.api.asked


async def test_a_renamed_project_is_the_same_scope():
    """Under its new name, seen in a pipeline or by the daily question; never twice."""
    rig = Rig()
    rig.api.projects = {"gh/acme/old": 1}
    rig.api.pipelines = {"gh/acme": [("gh/acme/old", 0.1)]}
    assert ["gh/acme/old"] == await rig.slugs()
    rig.api.projects = {"gh/acme/old": 1, "gh/acme/new": 1}
    rig.api.pipelines = {"gh/acme": [("gh/acme/new", -0.01), ("gh/acme/old", 0.1)]}
    assert ["gh/acme/new"] == await rig.slugs(days=0.05)
    assert (uuid(1), "gh/acme/new") == (
        rig.discovery.known("gh/acme/old").project_id,
        rig.discovery.known("gh/acme/old").slug,
    )
    rig.api.projects["gh/acme/newer"] = 1
    assert ["gh/acme/newer"] == await rig.slugs(days=1.1)


async def test_an_old_name_that_goes_to_another_project():
    """A project made under the old name of another is a project of its own."""
    rig = Rig()
    rig.api.projects = {"gh/acme/web": 1}
    rig.api.pipelines = {"gh/acme": [("gh/acme/web", 0.1)]}
    await rig.slugs()
    rig.api.projects = {"gh/acme/web": 2, "gh/acme/website": 1}
    assert ["gh/acme/web"] == await rig.slugs(days=1.1)
    assert [uuid(2)] == [scope.key for scope in await rig.discovery.scopes()]
    rig.api.pipelines = {"gh/acme": [("gh/acme/website", -1.2), ("gh/acme/web", 0.1)]}
    await rig.slugs(days=0.1)
    found = {scope.slug: scope.key for scope in await rig.discovery.scopes()}
    assert {"gh/acme/web": uuid(2), "gh/acme/website": uuid(1)} == found


async def test_a_vanished_project_is_gone_after_a_week_and_comes_back():
    """Not before; then one question a day; said once, also over a restart; walked again when it answers."""
    rig = Rig()
    rig.api.projects = {"gh/acme/a": 1, "gh/acme/b": 2}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", 0.1), ("gh/acme/b", 0.1)]}
    await rig.slugs()
    del rig.api.projects["gh/acme/b"]
    with capture_logs() as logs:
        for _ in range(7):
            assert ["gh/acme/a", "gh/acme/b"] == await rig.slugs(days=1.01)
        assert ["gh/acme/a"] == await rig.slugs(days=1.01)
        rig.restart()
        assert ["gh/acme/a"] == await rig.slugs(days=0.5)
        assert "/api/v2/project/gh/acme/b" not in rig.api.asked
        assert ["gh/acme/a"] == await rig.slugs(days=0.6)
        assert 1 == rig.api.asked.count("/api/v2/project/gh/acme/b")
    assert ["gh/acme/b"] == [line["project"] for line in logs if line["event"] == "project_gone"]
    rig.api.projects["gh/acme/b"] = 2
    assert ["gh/acme/a", "gh/acme/b"] == await rig.slugs(days=1.01)


async def test_a_project_that_may_not_be_seen_any_more_is_gone_after_a_week():
    """Said once, with what to do; until then it is walked in vain, which is told of its source."""
    rig = Rig()
    rig.api.projects = {"gh/acme/a": 1, "gh/acme/b": 2}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", 0.1), ("gh/acme/b", 0.1)]}
    await rig.slugs()
    rig.api.projects["gh/acme/b"] = "forbidden"
    with capture_logs() as logs:
        found = [await rig.slugs(days=1.01) for _ in range(10)]
    assert [2] * 7 + [1] * 3 == [len(slugs) for slugs in found]
    (line,) = (line for line in logs if line["event"] == "project_gone")
    assert line["project"] == "gh/acme/b"
    assert "let the token's user see it" in line["fix"]


async def test_a_passing_404_makes_no_project_vanish():
    """An answer in between starts the week anew; an outage counts for nothing."""
    rig = Rig()
    rig.api.projects = {"gh/acme/a": 1}
    rig.api.pipelines = {"gh/acme": [("gh/acme/a", 0.1)]}
    await rig.slugs()
    for day in range(20):
        rig.api.projects = {} if day % 5 else {"gh/acme/a": 1}
        assert ["gh/acme/a"] == await rig.slugs(days=1.01)
    rig.api.projects, rig.api.down = {"gh/acme/a": 1}, True
    with pytest.raises(SourceUnavailable):
        await rig.slugs(days=30)
    rig.api.down = False
    assert ["gh/acme/a"] == await rig.slugs()


async def test_what_is_no_longer_wanted_is_forgotten():
    """A project that the configuration leaves out is not walked after a restart."""
    rig = Rig()
    rig.api.projects, rig.api.pipelines = {"gh/acme/a": 1}, {"gh/acme": [("gh/acme/a", 0.1)]}
    await rig.slugs()
    rig.config = CircleCIConfig.model_validate({"token": "t", "orgs": ["gh/other"]})
    rig.restart()
    assert [] == await rig.slugs()
