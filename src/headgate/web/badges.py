"""`/badge/NAME.svg`: one figure as a picture for a README or a wiki.

Invariant: whatever is asked, the answer is a whole SVG without scripts, and every text in it is escaped.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response

from headgate.core.errors import StoreError
from headgate.core.tally import DEFAULT_BRANCH
from headgate.insights.views.badge import Badge, Tone, badge
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import read_window
from headgate.web.answering import knows_tag
from headgate.web.parameters import take_parameters
from headgate.web.site.words import shown, word

__all__ = ["add_badges", "draw"]

_TYPE = "image/svg+xml"
_LONGEST = 60
_MOST_TEXT = 1000
# White text on each of them has a contrast of 4.5 to 1 at least (WCAG 2.2, 1.4.3).
_COLOURS: Mapping[Tone, str] = {
    "good": "#137341",
    "warning": "#875300",
    "bad": "#b42318",
    "plain": "#1257b3",
    "grey": "#5f6672",
}
# What XML 1.0 allows nowhere (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Other sites show badges, which the guard forbids for everything else.
_HEADERS = {"cache-control": "max-age=60", "cross-origin-resource-policy": "cross-origin"}
_PICTURE: dict[str, Any] = {_TYPE: {"schema": {"type": "string"}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The badge.", "content": _PICTURE},
    400: {"description": "A badge that says what cannot be read.", "content": _PICTURE},
    404: {"description": "A grey badge that says `unknown`.", "content": _PICTURE},
    503: {"description": "A badge that says that the store does not answer.", "content": _PICTURE},
}
_Text = Annotated[str, Query()]
# A token was read before, by the guard.
_WORDS = dict.fromkeys(("project", "workflow", "branch", "window", "label", "token"), False)


def add_badges(app: FastAPI, lens: Callable[[], Lens]) -> None:
    """Serve the badges."""
    # A route of the plain kind: what is wrong with a question is said in the picture.
    router = APIRouter()

    @router.get("/badge/{name}.svg", response_class=Response, responses=_RESPONSES, tags=["badges"])
    async def get_badge(  # noqa: PLR0917  # query parameters have names
        request: Request,
        name: str,
        project: _Text = "",
        workflow: _Text = "",
        branch: _Text = "",
        window: _Text = "",
        label: _Text = "",
    ) -> Response:
        """`last-run`, or a metric such as `success-rate` or `duration-p95`, as an SVG.

        `label`: the text on the left, instead of the name.
        """
        title = label or name.replace("-", " ")
        try:
            take_parameters(request, _WORDS)
        except Refused as exc:
            return _answer(request, 400, title, f"bad {exc.parameter}", "grey")
        if len(max(request.query_params.values(), key=len, default="")) > _MOST_TEXT:
            return _answer(request, 400, title, "text is too long", "grey")
        try:
            at = lens()
            found = await badge(
                at,
                name=name,
                project=project,
                workflow=workflow,
                window=read_window(None, None, window or None, now_ms=at.now_ms),
                filters=Filters(branch_class=branch) if branch == DEFAULT_BRANCH else Filters(branch=branch),
            )
        except Refused as exc:
            said = "unknown" if exc.missing else f"bad {exc.parameter}"
            return _answer(request, 404 if exc.missing else 400, title, said, "grey")
        except StoreError:
            return _answer(request, 503, title, "no answer", "grey")
        return _answer(request, 200, title, _says(found), found.tone)

    app.include_router(router)


def _says(one: Badge) -> str:
    if one.metric is None:
        return word(one.status) or "no run"
    return "no data" if one.value is None else shown(one.value, one.metric.format)


def _answer(request: Request, status: int, label: str, message: str, tone: Tone) -> Response:
    picture = draw(label, message, tone).encode()
    tag = f'"{hashlib.blake2b(picture, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, **_HEADERS}
    if status == 200 and knows_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(picture, status, headers, _TYPE)


def draw(label: str, message: str, tone: Tone) -> str:
    """The picture: two fields side by side, twenty high, as wide as their texts."""
    left, right = _fit(label), _fit(message)
    first, second = _width(left), _width(right)
    both = escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{first + second}" height="20" role="img" aria-label="{both}">'
        f"<title>{both}</title>"
        f'<rect width="{first}" height="20" fill="#3b4252"/>'
        f'<rect x="{first}" width="{second}" height="20" fill="{_COLOURS[tone]}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(left, first / 2, first)}{_text(right, first + second / 2, second)}"
        "</g></svg>"
    )


def _text(text: str, x: float, width: int) -> str:
    """Squeezed or stretched to its field, so that it fits whatever font is there."""
    return f'<text x="{x:g}" y="14" textLength="{width - 10}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'


def _fit(text: str) -> str:
    """Without what XML cannot have, in one line, and of bounded length."""
    clean = " ".join(_FORBIDDEN.sub("\ufffd", text).split()) or "-"
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "\u2026"


def _width(text: str) -> int:
    """About as wide as the text is in 11 pixels, with room at both ends."""
    return 10 + round(sum(11 if unicodedata.east_asian_width(one) in "WF" else 6.6 for one in text))
