"""Signed webhooks of 1 kB, shaped like the captured GitHub OAuth job-completed delivery."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime, timedelta

_BASE = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
JOBS_PER_WORKFLOW = 8


def _id(kind: str, number: int) -> str:
    return str(uuid.UUID(int=(hash_of(kind) << 64) | number))


def hash_of(text: str) -> int:
    """A stable 62-bit number for a word."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


def webhook_body(number: int, *, base: datetime = _BASE) -> bytes:
    """The `number`-th delivery: job `number` of workflow `number` // 8; about 1,000 bytes, distinct ids."""
    workflow = number // JOBS_PER_WORKFLOW
    end = base + timedelta(milliseconds=number * 20)
    # Every delivery of a workflow tells the same of it and of its pipeline, as CircleCI's do.
    first_end = base + timedelta(milliseconds=workflow * JOBS_PER_WORKFLOW * 20)

    def at(seconds: float, after: datetime = end) -> str:
        return (after + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    payload = {
        "type": "job-completed",
        "id": _id("delivery", number),
        "happened_at": at(0.06),
        "webhook": {"id": _id("webhook", 1), "name": "bench"},
        "project": {"id": _id("project", workflow % 12), "name": "web", "slug": f"github/acme/p{workflow % 12}"},
        "organization": {"id": _id("org", 1), "name": "acme"},
        "pipeline": {
            "id": _id("pipeline", workflow),
            "number": workflow + 1,
            "created_at": at(-200, first_end),
            "trigger": {"type": "webhook"},
            "vcs": {
                "target_repository_url": f"https://github.com/acme/p{workflow % 12}",
                "revision": hashlib.sha1(str(workflow).encode(), usedforsecurity=False).hexdigest(),
                "commit": {"subject": "Change something", "author": {"name": "A U Thor"}},
                "branch": "main" if workflow % 3 else f"feature-{workflow % 50}",
            },
        },
        "workflow": {"id": _id("workflow", workflow), "name": "build-test", "created_at": at(-199, first_end)},
        "job": {
            "id": _id("job", number),
            "name": f"job-{number % JOBS_PER_WORKFLOW}",
            "number": number + 1,
            "status": "failed" if number % 29 == 0 else "success",
            "started_at": at(-60),
            "stopped_at": at(0),
        },
    }
    body = json.dumps(payload, separators=(",", ":")).encode()
    return body if len(body) >= 1000 else body[:-1] + b',"pad":"' + b"x" * (990 - len(body)) + b'"}'


def webhook_requests(count: int, secret: str, path: str, *, start: int = 0, base: datetime = _BASE) -> list[bytes]:
    """Whole HTTP/1.1 requests, signed as CircleCI signs. `base`: when delivery 0 happened."""
    requests = []
    for number in range(start, start + count):
        body = webhook_body(number, base=base)
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        requests.append(
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"user-agent: CircleCI-Webhook/1.0\r\ncircleci-event-type: job-completed\r\n"
            f"circleci-signature: v1={signature}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
    return requests
