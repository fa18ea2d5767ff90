"""What a pipeline's payload says about branch, tag, commit, author and repository, in all its shapes. Pure.

GitHub OAuth and Bitbucket Cloud pipelines carry `vcs`; GitHub App, GitLab and Bitbucket Data Center ones carry
`trigger_parameters`. Personal data is dropped, hashed or kept here, before anything is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from headgate.core.facts import Value
from headgate.sources.circleci.reading import Json, known, repository, sub, text

__all__ = ["Privacy", "author_fields", "default_branch", "ref_fields", "vcs_fields"]

Handling = Literal["keep", "hash", "drop"]
_MAX_SUBJECT = 500  # characters of a commit subject; CircleCI cuts long ones too
_PROVIDERS = ("github_app", "gitlab", "bitbucket_dc", "bitbucket", "github")


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is kept of personal data. `key`: of the hash; never empty where anything is hashed."""

    email: Handling = "drop"
    login: Handling = "keep"
    name: Handling = "keep"
    commit_subject: Handling = "keep"
    key: bytes = b""

    def apply(self, handling: Handling, value: str | None) -> str | None:
        """The value as it may be stored; equal values give equal hashes under one key."""
        if value is None or handling == "drop":
            return None
        if handling == "keep":
            return value
        return f"hmac:{hmac.new(self.key, value.encode(), hashlib.sha256).hexdigest()[:32]}"


def author_fields(
    privacy: Privacy, *, login: str | None, name: str | None, email: str | None, subject: str | None
) -> dict[str, Value]:
    """The author's fields under the source's rules; `subject` is cut to its first line."""
    line = text(subject.strip().splitlines()[0]) if subject and subject.strip() else None
    return known(
        author_login=privacy.apply(privacy.login, login),
        author_name=privacy.apply(privacy.name, name),
        author_email=privacy.apply(privacy.email, email),
        commit_subject=privacy.apply(privacy.commit_subject, line[:_MAX_SUBJECT] if line else None),
    )


def vcs_fields(pipeline: Json, privacy: Privacy) -> dict[str, Value]:
    """Fields ref_name, ref_type, revision, repository_url, author_*, commit_subject, as far as they are known."""
    vcs, git, provider = _parts(pipeline)
    commit, author = sub(vcs, "commit"), sub(vcs, "commit", "author")
    actor = sub(pipeline, "trigger", "actor")
    url = next(filter(None, (repository(text(url)) for url in _urls(vcs, git, provider))), None)
    return {
        **_ref(vcs, git, provider),
        **known(
            revision=_first(
                vcs.get("revision"), git.get("checkout_sha"), provider.get("checkout_sha"), provider.get("commit_sha")
            ),
            repository_url=url,
        ),
        **author_fields(
            privacy,
            login=_first(actor.get("login"), git.get("author_login"), provider.get("user_username")),
            name=_first(author.get("name"), git.get("commit_author_name"), provider.get("commit_author_name")),
            email=_first(author.get("email"), git.get("commit_author_email"), provider.get("commit_author_email")),
            subject=_first(commit.get("subject"), git.get("commit_message"), provider.get("commit_title")),
        ),
    }


def default_branch(pipeline: Json) -> str | None:
    """The project's default branch, which only trigger parameters tell."""
    _, git, provider = _parts(pipeline)
    return _first(git.get("default_branch"), provider.get("default_branch"))


def ref_fields(branch: str | None, tag: str | None) -> dict[str, Value]:
    """ref_name and ref_type; a branch goes before a tag."""
    if branch:
        return {"ref_name": branch, "ref_type": "branch"}
    return {"ref_name": tag, "ref_type": "tag"} if tag else {}


def _parts(pipeline: Json) -> tuple[Json, Json, Json]:
    """`vcs`, the provider-neutral trigger parameters, and the provider's own."""
    parameters = sub(pipeline, "trigger_parameters")
    if not parameters:  # most pipelines
        return sub(pipeline, "vcs"), parameters, parameters
    provider = next((found for name in _PROVIDERS if (found := sub(parameters, name))), sub(None))
    return sub(pipeline, "vcs"), sub(parameters, "git"), provider


def _urls(vcs: Json, git: Json, provider: Json) -> tuple[object, ...]:
    return (
        vcs.get("target_repository_url"),
        vcs.get("origin_repository_url"),
        git.get("repo_url"),
        git.get("checkout_url"),
        provider.get("repo_url"),
        provider.get("web_url"),
    )


def _ref(vcs: Json, git: Json, provider: Json) -> dict[str, Value]:
    own = ref_fields(text(vcs.get("branch")), text(vcs.get("tag")))
    if own:
        return own
    from_ref = _full_ref(_first(git.get("ref"), provider.get("full_ref"), provider.get("ref")))
    branch = _first(git.get("branch"), provider.get("branch"))
    # Some senders repeat a tag's name as the branch; the full ref knows better.
    if branch and from_ref == {"ref_name": branch, "ref_type": "tag"}:
        return from_ref
    return ref_fields(branch, _first(git.get("tag"), provider.get("tag"))) or from_ref


def _full_ref(ref: str | None) -> dict[str, Value]:
    if ref is None:
        return {}
    if ref.startswith("refs/tags/"):
        return ref_fields(None, ref.removeprefix("refs/tags/"))
    return ref_fields(ref.removeprefix("refs/heads/").removeprefix("refs/"), None)


def _first(*values: object) -> str | None:
    return next((found for value in values if (found := text(value)) is not None), None)
