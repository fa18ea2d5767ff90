"""Texts for people: sandboxed Jinja2 over the labels and numbers of an alert.

Invariant: rendering never fails and never blocks an alert. A text that cannot be rendered is shown as written, and the
annotation `template_error` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from headgate.alerting.units import duration_text
from headgate.insights.catalogue import Format

__all__ = ["render_annotations", "template_problem", "value_text"]

# Longer texts are cut: chat systems refuse them, and nobody reads them.
MAX_TEXT = 4000


def _pct(value: Any, digits: int = 0) -> str:
    return f"{float(value) * 100:.{digits}f}%"


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text; each notifier escapes for its own channel
    )
    environment.filters.update(pct=_pct, duration=lambda value: duration_text(float(value)))
    return environment


_ENVIRONMENT = _environment()


def template_problem(text: str) -> str | None:
    """Why a text is not a template, None when it is."""
    try:
        _ENVIRONMENT.from_string(text)  # compiles, so an unknown filter is found too
    except TemplateError as error:
        return str(error)
    return None


def value_text(value: float, form: Format) -> str:
    """A metric's value for people: 78%, 12 min 5 s, 42."""
    if form == "percentage":
        return _pct(value)
    if form == "duration":
        return duration_text(value)
    return f"{value:g}"


def render_annotations(texts: Mapping[str, str], context: Mapping[str, Any]) -> dict[str, str]:
    """Render every text; empty ones are left out."""
    out: dict[str, str] = {}
    errors: list[str] = []
    for name, text in texts.items():
        try:
            rendered = _ENVIRONMENT.from_string(text).render(context)
        except Exception as error:  # noqa: BLE001  # whatever a template does, the alert goes out
            errors.append(f"{name}: {error}")
            rendered = text
        if rendered.strip():
            out[name] = rendered.strip()[:MAX_TEXT]
    if errors:
        out["template_error"] = "; ".join(errors)[:MAX_TEXT]
    return out
