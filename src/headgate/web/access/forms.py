"""Forms of the pages: read, held against forgery and against the role they need, and the way back.

Invariant: what is refused here has changed nothing. A form that the page did not make has no `csrf` field of ours, and
another site can neither read nor guess one.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import ImmutableMultiDict

from headgate.web.access.who import Role, who

__all__ = ["FORM_TYPE", "FormRefused", "back", "local_path", "read_form", "submitted"]

FORM_TYPE = "application/x-www-form-urlencoded"
# A thousand chosen lines of a table and a comment; nobody writes more into a form.
_MOST_BYTES = 65_536
_MOST_FIELDS = 2000


class FormRefused(Exception):
    """A form that is not carried out. Shown as a page of this status, title and text."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title


async def submitted(request: Request, needs: Role = "operator") -> ImmutableMultiDict[str, str]:
    """The fields of a form, `getlist` for those that come several times. Raises FormRefused.

    The form must carry the `csrf` field that `csrf_field()` of `parts.html` writes, and who sends it the role.
    """
    fields = await read_form(request)
    known = who(request)
    offered = fields.get("csrf", "")
    if not known.csrf or not hmac.compare_digest(offered.encode(), known.csrf.encode()):
        raise FormRefused(
            403,
            "The form is not valid any more",
            "Nothing was done. It was made before a restart or for another login, or by another site. "
            "Open the page again and repeat what you did.",
        )
    if not known.may(needs):
        raise FormRefused(
            403,
            "Your role may not do this",
            f"Nothing was done. It needs the role {needs}; {known.name} is {known.role}. http.access gives roles.",
        )
    return fields


async def read_form(request: Request) -> ImmutableMultiDict[str, str]:
    """The fields of a form, whoever sends it. Raises FormRefused."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise FormRefused(415, "This is not a form", f"Nothing was done. A form is sent as {FORM_TYPE}.")
    return ImmutableMultiDict[str, str](_fields(await _body(request)))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise FormRefused(413, "The form is too long", f"Nothing was done. {_MOST_BYTES // 1024} KiB are the most.")
    return bytes(body)


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as exc:
        raise FormRefused(
            413, "The form is too long", f"Nothing was done. {_MOST_FIELDS} fields are the most."
        ) from exc


def local_path(text: str, otherwise: str = "/") -> str:
    """An address of ours, path and query, as it is; anything that could lead elsewhere becomes `otherwise`."""
    plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not plain or not text.startswith("/") or text.startswith("//"):
        return otherwise
    try:
        parts = urlsplit(text)
    except ValueError:
        return otherwise
    return otherwise if parts.scheme or parts.netloc else text


def back(fields: Mapping[str, str], otherwise: str = "/") -> RedirectResponse:
    """303 to the page that a form was on, which `csrf_field()` wrote into it."""
    return RedirectResponse(local_path(fields.get("back", ""), otherwise), 303)
