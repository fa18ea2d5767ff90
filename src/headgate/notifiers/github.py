"""Notifier `github`: an issue for each alert or group, kept up to date, closed when it is over.

It remembers the issue's number. Where that was lost, the issue is found again by a hidden comment in its body, so one
that was made without our hearing of it is not made twice. Source: docs.github.com, "REST API endpoints for issues",
"Rate limits for the REST API" (403 or 429; Retry-After, else x-ratelimit-reset, else a minute), read 2026-11; the
answers 301 and 410 for an issue that was moved or deleted are known, not looked up. `_github_text` says how issues
look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from pydantic import Field

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.messages import Exchange, Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.verdicts import MAX_RETRY_AFTER_SECONDS, Verdict, classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HeaderSecret, HttpNotifierConfig, HttpUrl, without_secrets
from headgate.notifiers._github_text import body_of, comment_of, firing_in, says, thread_of, title_of
from headgate.notifiers._threads import Entry, entries_of, known, remembered, state_of
from headgate.plugins.config import reveal

__all__ = ["PLUGINS", "GitHubConfig", "GitHubNotifier"]

# The newest open issues with our labels are looked through; three pages, so that a message is bounded.
_PAGES, _PAGE = 3, 100
_LIMITED = (403, 429)
_LIMITED_SECONDS = 60.0
# The issue was transferred, never was, or was deleted.
_GONE = frozenset({301, 404, 410})
_FIX = {
    Verdict.AUTH: "check the token and its right to write issues",
    Verdict.CONFIG: "check repository and url, that the token sees the repository, and that it has issues",
}

Method = Literal["GET", "POST", "PATCH"]


class GitHubConfig(HttpNotifierConfig):
    """Configuration of a GitHub notifier."""

    token: HeaderSecret = Field(description="Token with the right to read and write issues of the repository.")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="Where issues are opened: owner/name.")
    labels: tuple[str, ...] = Field(
        default=("headgate",),
        description="Labels of new issues; issues are found again among those that have them all.",
    )
    url: HttpUrl = Field(
        default="https://api.github.com",
        description="Base address of the API; on a server of your own https://HOST/api/v3.",
    )


class GitHubNotifier:
    """Opens, edits, comments on and closes issues."""

    grouped = True
    digests = False

    def __init__(self, name: str, config: GitHubConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> Mapping[str, str] | None:
        """Bring the issue to what the message says: at most seven requests, those that add something last."""
        repository = _Repository(self._config, self._user_agent, http, now_ms)
        remembers = message.memory.get("repository") == self._config.repository
        message = message if remembers else replace(message, memory={})
        number = message.memory.get("number", "")
        if number and await self._bring(repository, number, message, known(message.memory)):
            return self._memory(number, entries_of(message))
        found = await repository.find(thread_of(message))
        if found is None:
            return await self._open(repository, replace(message, memory={}))
        number, body = found
        before = {key: Entry("firing") for key in firing_in(body, thread_of(message)) or ()}
        message = replace(message, memory=remembered(before))
        if not says(body, message.key):
            await self._bring(repository, number, message, before)
        return self._memory(number, entries_of(message))

    async def reach(self, http: Exchange) -> None:
        """Whether the token sees the repository and it takes issues."""
        answer = await _Repository(self._config, self._user_agent, http, 0).call("GET", "")
        if answer.get("has_issues") is False or answer.get("archived") is True:
            raise SinkRefused("the repository takes no issues", reason="config", fix="switch issues on, or use another")

    async def _bring(self, repository: _Repository, number: str, message: Message, before: Mapping[str, Entry]) -> bool:
        """Edit the issue and say what has changed; False when it is not there any more."""
        entries, changed = entries_of(message), _changed(message, before)
        fields: dict[str, Any] = {"body": body_of(message, entries)}  # the title stays: people may have changed it
        if changed:
            over = state_of(entries) == "resolved"
            fields |= {"state": "closed" if over else "open", "state_reason": "completed" if over else "reopened"}
        if not await repository.edit(number, fields):
            return False
        if changed:
            await repository.call("POST", f"/issues/{number}/comments", {"body": comment_of(message, changed)})
        return True

    async def _open(self, repository: _Repository, message: Message) -> Mapping[str, str]:
        """A new issue; none for what is over already."""
        entries = entries_of(message)
        if state_of(entries) == "resolved":
            return {}
        fields = {"title": title_of(message, entries), "body": body_of(message, entries)}
        answer = await repository.call("POST", "/issues", {**fields, "labels": self._config.labels})
        if not isinstance(answer.get("number"), int):
            raise SinkUnavailable("the answer to a new issue has no number")
        return self._memory(str(answer["number"]), entries)

    def _memory(self, number: str, entries: Mapping[str, Entry]) -> Mapping[str, str]:
        return {"repository": self._config.repository, "number": number, **remembered(entries)}


def _changed(message: Message, before: Mapping[str, Entry]) -> tuple[Notification, ...]:
    """The notifications that say something new of their alert."""
    return tuple(
        one for one in message.notifications if (before.get(one.fingerprint) or Entry("resolved")).state != one.tone
    )


class _Repository:
    """Calls to one repository; every answer is read alike."""

    def __init__(self, config: GitHubConfig, user_agent: str, http: Exchange, now_ms: int) -> None:
        self._config, self._http, self._now_ms = config, http, now_ms
        self._headers = (
            ("accept", "application/vnd.github+json"),
            ("authorization", f"Bearer {reveal(config.token)}"),
            ("content-type", "application/json"),
            ("user-agent", user_agent),
            ("x-github-api-version", "2022-11-28"),
        )

    async def find(self, thread: str) -> tuple[str, str] | None:
        """Number and body of the open issue that is about this thread, the newest."""
        query: dict[str, Any] = {"state": "open", "sort": "created", "direction": "desc", "per_page": _PAGE}
        if self._config.labels:
            query["labels"] = ",".join(self._config.labels)
        for page in range(1, _PAGES + 1):
            issues = self._listed(await self._ask("GET", f"/issues?{urlencode({**query, 'page': page})}"))
            for issue in issues:
                body = str(issue.get("body") or "")
                if firing_in(body, thread) is not None and "pull_request" not in issue:
                    return str(issue.get("number")), body
            if len(issues) < _PAGE:
                break
        return None

    async def edit(self, number: str, fields: Mapping[str, Any]) -> bool:
        """Whether the issue was there to be edited."""
        reply = await self._ask("PATCH", f"/issues/{number}", fields)
        if reply.status in _GONE:
            return False
        self._judge(reply)
        return True

    async def call(self, method: Method, path: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's object."""
        reply = await self._ask(method, path, fields)
        self._judge(reply)
        answer = _decoded(reply)
        if not isinstance(answer, dict):
            raise SinkUnavailable("the answer is not GitHub's")
        return answer

    async def _ask(self, method: Method, path: str, fields: Mapping[str, Any] | None = None) -> HttpReply:
        url = f"{self._config.url.rstrip('/')}/repos/{self._config.repository}{path}"
        body = b"" if fields is None else msgspec.json.encode(fields)
        return await self._http(
            HttpRequest(method, url, self._headers, body, timeout_seconds=self._config.timeout / 1000)
        )

    def _listed(self, reply: HttpReply) -> list[dict[str, Any]]:
        self._judge(reply)
        answer = _decoded(reply)
        if not isinstance(answer, list):
            raise SinkUnavailable("the answer is not GitHub's")
        return [one for one in answer if isinstance(one, dict)]

    def _judge(self, reply: HttpReply) -> None:
        """Raise what a status means; a limit is waited for, whatever its status."""
        verdict, wait = classify(reply.status, {410: Verdict.CONFIG}), retry_after_seconds(reply.headers)
        words = reply.text()
        if reply.status in _LIMITED and (wait is not None or _limited(reply, words)):
            verdict = Verdict.RETRY
            wait = self._until_reset(reply) if wait is None else wait
        text = without_secrets(words, (reveal(self._config.token),))
        raise_for(verdict, reply.status, text, retry_after=wait, fix=_FIX.get(verdict, ""))

    def _until_reset(self, reply: HttpReply) -> float:
        """Seconds until the limit is lifted, as far as GitHub says."""
        reset = reply.headers.get("x-ratelimit-reset", "")
        if reply.headers.get("x-ratelimit-remaining") != "0" or not reset.isdigit():
            return _LIMITED_SECONDS
        return min(max(1.0, int(reset) - self._now_ms / 1000), MAX_RETRY_AFTER_SECONDS)


def _limited(reply: HttpReply, words: str) -> bool:
    return reply.headers.get("x-ratelimit-remaining") == "0" or "rate limit" in words.lower()


def _decoded(reply: HttpReply) -> Any:
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


PLUGINS = (Plugin("notifier", "github", GitHubConfig, GitHubNotifier),)
