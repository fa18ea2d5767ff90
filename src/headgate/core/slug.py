"""Project and organisation slugs. Inside Headgate the short form is used: gh/acme/web, bb/acme/web, circleci/a/b."""

from __future__ import annotations

__all__ = ["long_slug", "org_slug", "short_slug"]

_SHORT = {"github": "gh", "bitbucket": "bb"}
_LONG = {"gh": "github", "bb": "bitbucket"}


def short_slug(slug: str) -> str:
    """Normalise github/... to gh/... and bitbucket/... to bb/...; everything else stays as given."""
    head, slash, rest = slug.partition("/")
    return f"{_SHORT.get(head, head)}{slash}{rest}"


def long_slug(slug: str) -> str:
    """The form that CircleCI's web pages use: github/acme/web."""
    head, slash, rest = slug.partition("/")
    return f"{_LONG.get(head, head)}{slash}{rest}"


def org_slug(project: str) -> str:
    """The organisation part of a project slug: gh/acme/web -> gh/acme. Two segments are returned as they are."""
    return "/".join(short_slug(project).split("/")[:2])
