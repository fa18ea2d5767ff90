"""Small parts of telling: the tree of routes, mute times, inhibition, silences, digests."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import ValidationError
from tests.unit.alerting.world import RULES, START, run

from headgate.alerting.change import due_at
from headgate.alerting.digest import Health, count_run, digest_of
from headgate.alerting.digestplan import DigestConfig, DigestPlan, build_digests
from headgate.alerting.inhibition import Firing, Inhibitions, InhibitSpec, compile_inhibition
from headgate.alerting.load import load_inhibitions, parse_rules
from headgate.alerting.mutetimes import MuteTimeConfig
from headgate.alerting.routes import RouteConfig, RouteOptions, Way, build_routes, group_name
from headgate.alerting.silencing import Silences, check_silence, expire, list_silences, silence_state
from headgate.core.alertdata import AlertState, encode_alert, new_alert
from headgate.core.errors import ConfigError
from headgate.core.silences import Silence
from headgate.core.storeport import AlertRow
from headgate.core.times import DAY_MS, HOUR_MS, parse_ms

BERLIN = ZoneInfo("Europe/Berlin")
NAMES = ("page", "chat", "mail")


def berlin(text: str) -> int:
    """Milliseconds of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


TREE = [
    RouteConfig(
        match={"team": "web"},
        to=("chat",),
        group_by=("project",),
        repeat="1h",
        routes=(
            RouteConfig(match={"severity": "critical"}, to=("page",), repeat={"critical": "10m"}, group_by=()),
            RouteConfig(match={"job": "lint"}, to=()),
            RouteConfig(match={"job": "deploy"}, to=("mail",), **{"continue": True}),
            RouteConfig(match={"ref": "main"}, routes=(RouteConfig(match={"job": "x"}, to=("page",)),)),
        ),
    ),
]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"team": "web"}, ["chat"]),
        ({"team": "web", "severity": "critical"}, ["page"]),
        ({"team": "web", "job": "lint"}, []),
        ({"team": "web", "job": "deploy"}, ["mail"]),
        ({"team": "web", "job": "deploy", "ref": "main"}, ["mail", "chat"]),
        ({"team": "web", "job": "x", "ref": "main"}, ["page"]),
        ({"team": "api"}, ["page", "chat", "mail"]),
    ],
)
def test_a_tree_of_routes(labels, wanted):
    """Children first, with continue; what none takes is the route's own; without `to` that of the route around it."""
    assert list(build_routes(TREE, NAMES).ways(labels)) == wanted


def test_what_a_route_does_not_say_comes_from_around_it():
    """Down to the defaults of everything."""
    routes = build_routes(TREE, NAMES, options=RouteOptions(group_wait="5s"))
    chat = routes.ways({"team": "web"})["chat"]
    page = routes.ways({"team": "web", "severity": "critical"})["page"]
    assert (chat.group_by, page.group_by, chat.group_wait_ms, page.group_wait_ms) == (("project",), (), 5000, 5000)
    assert (chat.repeat_of("critical"), chat.repeat_of("odd"), page.repeat_of("critical")) == (3_600_000,) * 2 + (
        600_000,
    )
    assert (page.named, chat.named, routes.root.way.repeat_of("warning")) == (True, False, DAY_MS)
    assert (routes.longest_interval_ms(), routes.longest_quiet_ms()) == (300_000, 0)


def test_a_group_is_named_by_its_labels():
    """Missing ones are empty; an alert by itself has none; everything together is one."""
    assert group_name(Way(group_by=("b", "a")), {"b": "1"}) == '{"a":"","b":"1"}'
    assert (group_name(Way(), {"a": "1"}), group_name(Way(group_by=()), {"a": "1"})) == ("", "{}")


@pytest.mark.parametrize(
    ("last", "wanted"),
    [(None, 130), (150, 150), (95, 395), (-900, 130)],
    ids=["first", "with-what-waits", "after-the-interval", "long-ago"],
)
def test_when_a_group_is_told(last, wanted):
    """In seconds, at 100: with the one that waits, five minutes after the last, or after the wait."""
    assert due_at(Way(group_by=()), None if last is None else last * 1000, 100_000) == wanted * 1000


def test_unknown_names_deep_in_the_tree_are_refused():
    """With the path to them."""
    inner = RouteConfig(match={"a": "b"}, to=("nobody",), mute=("never",))
    with pytest.raises(ConfigError) as caught:
        build_routes([RouteConfig(to=("page",), routes=(inner,))], NAMES)
    assert list(caught.value.problems) == [
        "alerts.routes[0].routes[0].to: no notifier is called 'nobody'",
        "alerts.routes[0].routes[0].mute: no mute time is called 'never'",
    ]


NIGHT = MuteTimeConfig(time_zone="Europe/Berlin", weekdays=("mon-fri",), times=("22:00-06:00",), holidays=("12-25",))


@pytest.mark.parametrize(
    ("text", "quiet"),
    [
        ("2026-11-20T22:00", True),  # Friday
        ("2026-11-21T05:59", True),  # the night that began on Friday
        ("2026-11-21T06:00", False),
        ("2026-11-21T22:30", False),  # Saturday
        ("2026-11-23T05:00", False),  # the night that began on Sunday
        ("2026-12-25T12:00", True),
        ("2026-07-01T22:30", True),  # summer time
    ],
)
def test_mute_times_are_local(text, quiet):
    """A span over midnight belongs to the day on which it begins; holidays are whole days."""
    assert NIGHT.built("night").holds(berlin(text)) is quiet


def test_whole_days_and_every_day():
    """Without times the whole day, without weekdays every day."""
    weekend = MuteTimeConfig(weekdays=("sat-sun",)).built("w")
    noon = MuteTimeConfig(times=("12:00-13:00",)).built("n")
    saturday, monday = parse_ms("2026-11-21T12:30:00Z"), parse_ms("2026-11-23T12:30:00Z")
    assert (weekend.holds(saturday), weekend.holds(monday)) == (True, False)
    assert (noon.holds(saturday), noon.holds(monday), noon.holds(monday + HOUR_MS)) == (True, True, False)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"times": ["25:00-26:00"]},
        {"times": ["09:00"]},
        {"times": ["09:00-09:00"]},
        {"weekdays": ["monday"]},
        {"holidays": ["2026-02-30"]},
        {"holidays": ["Christmas"]},
        {"times": ["09:00-10:00"], "time_zone": "Mars/Olympus"},
    ],
)
def test_wrong_mute_times_are_refused(values):
    """Each says what to write."""
    with pytest.raises(ValidationError):
        MuteTimeConfig(**values)


def _inhibited(spec: dict, firing: list[dict], labels: dict) -> str:
    rules = [compile_inhibition(InhibitSpec(**spec))]
    return Inhibitions(rules, [Firing(one["alert"], one) for one in firing]).of(labels)


def test_inhibition_needs_agreement():
    """The labels of `equal` must be the same, a missing one is empty; none are needed with []."""
    spec = {"source": {"severity": "critical"}, "target": {"severity": "warning"}, "equal": ["project"]}
    source = {"alert": "A", "severity": "critical", "project": "web"}
    assert _inhibited(spec, [source], {"alert": "B", "severity": "warning", "project": "web"}) == "A"
    assert _inhibited(spec, [source], {"alert": "B", "severity": "warning", "project": "api"}) == ""
    assert _inhibited(spec, [{**source, "project": ""}], {"alert": "B", "severity": "warning"}) == "A"
    assert _inhibited(spec, [], {"alert": "B", "severity": "warning", "project": "web"}) == ""
    assert _inhibited(spec | {"equal": []}, [source], {"severity": "warning"}) == "A"


def test_nothing_inhibits_itself():
    """Nor do two that are both source and target inhibit each other; one that is a source alone does."""
    spec = {"source": ["team=~web|all"], "target": {"team": "web"}, "equal": []}
    both = {"alert": "A", "team": "web"}
    assert _inhibited(spec, [both], both) == ""
    assert _inhibited(spec, [both, {"alert": "C", "team": "all"}], both) == "C"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{source: {alert: A}, target: {group: g}}", "inhibit.0.equal"),
        ("{source: {}, target: {group: g}, equal: []}", "names no label"),
        ("{source: {alert: A}, target: {group: g}, equal: [], equals: []}", "did you mean `equal`"),
    ],
)
def test_a_wrong_inhibition_is_refused(text, words):
    """A missing `equal` is a mistake, and so is one that holds for every alert."""
    _, problems = parse_rules([("rules.yaml", f"{RULES}inhibit:\n  - {text}\n")])
    assert any(words in str(problem).replace("[0]", ".0") for problem in problems), [str(one) for one in problems]


def test_inhibitions_come_from_the_rule_files(tmp_path):
    """All of them, in order; the shipped rules have none."""
    entry = "inhibit:\n  - {source: {alert: A}, target: {group: main}, equal: []}\n"
    (tmp_path / "a.yaml").write_text(RULES + entry)
    (found,) = load_inhibitions(["*.yaml"], base=tmp_path)
    assert found.equal == ()
    assert load_inhibitions([]) == ()
    with pytest.raises(ConfigError):
        load_inhibitions(["missing.yaml"], base=tmp_path)


SILENCE = Silence(3, ("team=web", "branch!=main"), 100, 200, "ann", "why")


def test_a_silence_holds_from_its_begin_to_its_end():
    """And over alerts that meet all of its matchers."""
    assert [silence_state(SILENCE, at) for at in (99, 100, 199, 200)] == ["pending", "active", "active", "expired"]
    now = Silences.at([SILENCE], 150)
    assert (now.of({"team": "web"}), now.of({"team": "web", "branch": "main"}), now.of({})) == (3, None, None)
    assert Silences.at([SILENCE], 200).of({"team": "web"}) is None


def test_an_ended_silence_never_holds_again():
    """One that has not begun never does; lists show what holds first."""
    early = expire(SILENCE, 50)
    assert [silence_state(early, at) for at in (50, 150)] == ["expired", "expired"]
    others = [SILENCE, early, Silence(4, ("a=b",), 900, 999, "bob", "later")]
    assert [one["state"] for one in list_silences(others, 150)] == ["active", "pending", "expired"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"matchers": ()},
        {"matchers": ("team",)},
        {"matchers": ("team!=web",)},
        {"matchers": ("team=~(",)},
        {"ends_ms": 100},
        {"ends_ms": 140},
        {"author": " "},
        {"comment": ""},
    ],
)
def test_a_silence_without_what_it_needs_is_refused(wrong):
    """Matchers that mean something, an end in the future, who and why."""
    values = {"id": 0, "matchers": ("team=web",), "starts_ms": 100, "ends_ms": 200, "author": "ann", "comment": "why"}
    assert check_silence(Silence(**values), 150) is None
    assert check_silence(Silence(**(values | wrong)), 150)


WEEKLY = DigestPlan.of(
    "weekly", DigestConfig(to=("mail",), every="week", weekday="mon", at="08:30", time_zone="Europe/Berlin")
)
DAILY = DigestPlan.of("daily", DigestConfig(to=("mail",), at="08:30", time_zone="Europe/Berlin"))


@pytest.mark.parametrize(
    ("plan", "now", "since", "until"),
    [
        (WEEKLY, "2026-11-23T08:29", "2026-11-09T08:30", "2026-11-16T08:30"),
        (WEEKLY, "2026-11-23T08:30", "2026-11-16T08:30", "2026-11-23T08:30"),
        (WEEKLY, "2026-11-22T23:00", "2026-11-09T08:30", "2026-11-16T08:30"),
        (DAILY, "2026-11-23T08:29", "2026-11-21T08:30", "2026-11-22T08:30"),
        (DAILY, "2026-10-25T09:00", "2026-10-24T08:30", "2026-10-25T08:30"),
    ],
)
def test_a_digest_is_of_a_whole_period(plan, now, since, until):
    """From one time of day to the next, also over the change of summer time."""
    assert plan.period(berlin(now)) == (berlin(since), berlin(until))


def test_a_notifier_must_take_digests():
    """Else the configuration is wrong."""
    with pytest.raises(ConfigError, match=r"alerts\.digests\.d\.to: 'chat' takes no digests"):
        build_digests({"d": DigestConfig(to=("mail", "chat"))}, {"mail": True, "chat": False})


def _line(name: str, at_ms: int, **said) -> tuple[str, int, bytes]:
    line = {"rule": "R", "labels": {"project": "<b>|web", "severity": "warning"}, "from": "firing", "to": "firing"}
    return name, at_ms, msgspec.json.encode(line | said)


def test_what_a_digest_says():
    """Health, what was below warning, what was not told and why; the same as data, Markdown and HTML."""
    until = START
    period = (until - DAY_MS, until)
    health = Health()
    for minute, status in enumerate(["success"] * 7 + ["failure"] * 2 + ["canceled"]):
        count_run(health, run(until - minute * 60_000 - 1, status))
    history = [
        _line("f1", until - 5, **{"from": "pending", "to": "firing"}),
        _line("f1", until - 5, told=["chat"], held={"page": "muted by night"}),
        _line("f2", until - 9, told=[], held={"chat": "below warning"}),
        _line("f3", until - 9 - DAY_MS, held={"chat": "below warning"}),
        _line("f4", until, told=["chat"]),
        ("silence:1", until - 4, b'{"who":"ann","to":"silenced"}'),
    ]
    rows = [AlertRow("f1", "R", {"project": "web"}, "firing", b"{}", until)]
    digest = digest_of(DAILY, period, history=history, rows=rows, groups={"R": "g"}, health=health)
    assert digest.key == f"digest:daily:{until}"
    assert digest.data["health"] | {"failed_most": []} == {
        "runs": 10,
        "ok": 7,
        "failed": 2,
        "success_rate": 7 / 9,
        "failed_most": [],
    }
    alerts = digest.data["alerts"]
    assert (alerts["told"], alerts["firing"], len(alerts["below_warning"]), len(alerts["not_told"])) == (1, 1, 1, 1)
    assert alerts["not_told"][0]["held"] == {"page": "muted by night"}
    assert "muted by night (page)" in digest.markdown
    assert "\\<b\\>\\|web" in digest.markdown
    assert "&lt;b&gt;|web" in digest.html
    assert "<b>" not in digest.html


def test_there_is_no_digest_of_nothing():
    """Where nothing ran and nothing fired."""
    assert digest_of(DAILY, (0, DAY_MS), history=[], rows=[], groups={}, health=Health()) is None


@pytest.mark.parametrize(("fired_ms", "told"), [(DAY_MS - 1, True), (DAY_MS, False)])
def test_what_began_after_the_period_is_no_part_of_its_digest(fired_ms, told):
    """The first start of a daemon finds alerts; it does not report of the day before, in which it was not there."""
    alert = msgspec.structs.replace(new_alert(0), state=AlertState.FIRING, fired_ms=fired_ms)
    rows = [AlertRow("f1", "R", {}, "firing", encode_alert(alert), fired_ms)]
    found = digest_of(DAILY, (0, DAY_MS), history=[], rows=rows, groups={}, health=Health())
    assert (found is not None) == told
