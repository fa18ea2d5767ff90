"""Texts for people: sandboxed Jinja2 over the labels and numbers of an alert.

Invariant: rendering never fails, never blocks an alert and never sends a template as it is written. A plain summary
takes the place of one that cannot be rendered, other such texts are left out, and the annotation `template_error` says
why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.filters import FILTERS
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from headgate.alerting.units import duration_text
from headgate.insights.metric import Format

__all__ = ["NO_VALUE", "label_problem", "render_annotations", "render_labels", "template_problem", "value_text"]

# Longer texts are cut: chat systems refuse them, and nobody reads them.
MAX_TEXT = 4000
# What people read where a number is not known, as when an alert is over because nothing ran.
NO_VALUE = "no value"


def _pct(value: Any, digits: int = 0) -> str:
    return NO_VALUE if value is None else f"{float(value) * 100:.{digits}f}%"


def _duration(value: Any) -> str:
    return NO_VALUE if value is None else duration_text(float(value))


def _round(value: Any, *args: Any, **options: Any) -> Any:
    return None if value is None else FILTERS["round"](value, *args, **options)


def _abs(value: Any) -> Any:
    return None if value is None else abs(value)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text; each notifier escapes for its own channel
        finalize=lambda value: NO_VALUE if value is None else value,
    )
    environment.filters.update(pct=_pct, duration=_duration, round=_round, abs=_abs)
    return environment


_ENVIRONMENT = _environment()


def template_problem(text: str) -> str | None:
    """Why a text is not a template, None when it is."""
    try:
        _ENVIRONMENT.from_string(text)  # compiles, so an unknown filter is found too
    except TemplateError as error:
        return str(error)
    return None


class _Owned(str):  # noqa: SLOT000  # without an owner the attribute must be absent
    """A project's slug that knows its team; `owner` is undefined where nobody is named."""

    owner: str


def label_problem(text: str, by: Collection[str]) -> str | None:
    """Why a label's text cannot be used, None when it can. It may name the group's dimensions and `project.owner`."""
    if "{{" not in text and "{%" not in text:
        return None
    try:
        names = find_undeclared_variables(_ENVIRONMENT.parse(text))
    except TemplateError as error:
        return f"not a template: {error}"
    if names - {*by, "project"}:
        return "labels are fixed; put what changes into annotations"
    return None


def render_labels(texts: Mapping[str, str], group: Mapping[str, str], team: str) -> dict[str, str]:
    """Labels of a rule for one group, with the team that owns it; a text that cannot be rendered is left out."""
    project = _Owned(group.get("project", ""))
    if team:
        project.owner = team
    out = {"team": team} if team else {}
    for name, text in texts.items():
        if "{{" not in text and "{%" not in text:
            out[name] = text
            continue
        try:
            out[name] = _ENVIRONMENT.from_string(text).render({**group, "project": project}).strip()
        except Exception:  # noqa: BLE001  # whatever a template does, the alert goes out
            out.pop(name, None)
    return {name: text for name, text in out.items() if text and (name != "team" or "team" not in group)}


def value_text(value: float | None, form: Format) -> str:
    """A metric's value for people: 78%, 12 min 5 s, 42, or that there is none."""
    if value is None:
        return NO_VALUE
    if form == "percentage":
        return _pct(value)
    if form == "duration":
        return duration_text(value)
    return f"{value:,.0f}" if form == "credits" else f"{value:g}"


def render_annotations(texts: Mapping[str, str], context: Mapping[str, Any], plain: str) -> dict[str, str]:
    """Render every text; empty ones are left out. `plain`: the summary where the rule's own cannot be rendered."""
    out: dict[str, str] = {}
    errors: list[str] = []
    for name, text in texts.items():
        try:
            rendered = _ENVIRONMENT.from_string(text).render(context)
        except Exception as error:  # noqa: BLE001  # whatever a template does, the alert goes out
            errors.append(f"{name}: {error}")
            rendered = plain if name == "summary" else ""
        if rendered.strip():
            out[name] = rendered.strip()[:MAX_TEXT]
    if errors:
        out["template_error"] = "; ".join(errors)[:MAX_TEXT]
    return out
