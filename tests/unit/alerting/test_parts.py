"""Small parts of rules: quantities, texts, routes."""

import pytest
from pydantic import ValidationError

from headgate.alerting.routes import RouteConfig, build_routes
from headgate.alerting.templates import render_annotations, value_text
from headgate.alerting.units import Condition, Duration, Percent, Points, duration_text, in_metric_unit, parse_quantity
from headgate.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80%", Percent(0.8)),
        ("10pp", Points(0.1)),
        ("0.5", 0.5),
        (3, 3.0),
        ("90s", Duration(90_000)),
        ("1h30m", Duration(5_400_000)),
        ("2w", Duration(1_209_600_000)),
    ],
)
def test_quantities_are_types_of_their_own(text, wanted):
    """What is written decides the type, not where it is used."""
    found = parse_quantity(text)
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize("text", ["", "%", "5 m", "m", "1h x", "10PP", "1.5h", None, True, [1]])
def test_nonsense_is_no_quantity(text):
    """What cannot be read is refused."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [("< 80%", 0.8, False), ("<= 80%", 0.8, True), ("> 80%", 0.8, False), (">= 80%", 0.8, True), ("<1%", 0.0, True)],
)
def test_conditions(text, value, holds):
    """Limits are in the metric's unit; equality counts as written."""
    condition = Condition.parse(text)
    assert condition.holds(value, in_metric_unit(condition.quantity, "percentage")) is holds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "400 ms"),
        (45, "45 s"),
        (725, "12 min 5 s"),
        (10_800, "3 h"),
        (187_200, "2 d 4 h"),
        (86_401, "1 d"),
    ],
)
def test_durations_for_people(seconds, text):
    """Two units at most, none of them zero."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "form", "text"), [(0.783, "percentage", "78%"), (725, "duration", "12 min 5 s"), (42.0, "number", "42")]
)
def test_values_for_people(value, form, text):
    """A metric's value in its own format."""
    assert value_text(value, form) == text


def test_templates_cannot_reach_into_python():
    """The sandbox refuses what leads out; the plain summary goes out with the reason."""
    text = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    found = render_annotations({"summary": text}, {}, "plain")
    assert found["summary"] == "plain"
    assert "template_error" in found


def test_templates_cannot_change_what_they_are_given():
    """A template that tries to change its labels fails and changes nothing."""
    labels = {"a": "b"}
    found = render_annotations({"summary": "{{ labels.update(a='c') }}"}, {"labels": labels}, "plain")
    assert labels == {"a": "b"}
    assert "template_error" in found


def test_long_and_empty_texts():
    """Long texts are cut, empty ones left out."""
    found = render_annotations({"summary": "{{ 'x' * 9000 }}", "empty": "{{ '' }}"}, {}, "plain")
    assert {name: len(text) for name, text in found.items()} == {"summary": 4000}


ROUTES = [
    RouteConfig(match={"severity": "critical"}, to=("page",), **{"continue": True}),
    RouteConfig(match=["team=~web|api", "severity!=info"], to=("web",)),
    RouteConfig(match={"team": "web"}, to=()),
    RouteConfig(match={"alertname": "Noise"}, to=()),
]


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"severity": "critical", "team": "web"}, ("page", "web")),
        ({"severity": "critical"}, ("page",)),
        ({"severity": "warning", "team": "api"}, ("web",)),
        ({"severity": "info", "team": "web"}, ()),
        ({"alertname": "Noise"}, ()),
        ({"severity": "warning"}, ("page", "web", "all")),
    ],
    ids=["continue", "continue-alone", "list", "first-match", "dropped-on-purpose", "default"],
)
def test_routes(labels, wanted):
    """First match, continue, and everybody for what no route takes."""
    assert build_routes(ROUTES, ("page", "web", "all")).notifiers(labels) == wanted


def test_the_default_can_be_named():
    """`alerts.default` replaces everybody."""
    assert build_routes(ROUTES, ("page", "web", "all"), ("all",)).notifiers({}) == ("all",)


def test_unknown_notifiers_are_refused():
    """A route to nobody by mistake is a configuration error."""
    with pytest.raises(ConfigError, match=r"routes\[0\]\.to: no notifier is called 'page'"):
        build_routes(ROUTES, ("web",))
    with pytest.raises(ConfigError, match=r"alerts\.default"):
        build_routes([], ("web",), ("ops",))


@pytest.mark.parametrize("values", [{"to": ["a"], "match": ["x"]}, {"to": ["a"], "unknown": 1}, {"match": {}}])
def test_wrong_routes_are_refused(values):
    """Unreadable matchers, unknown keys and a missing `to`."""
    with pytest.raises(ValidationError):
        RouteConfig(**values)
