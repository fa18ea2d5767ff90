"""A server that behaves like CircleCI, for tests, demonstrations and benchmarks.

It owns a generated organization with months of history, answers API v2 and v1.1, sends signed webhooks,
misbehaves on request and knows the truth. Invariant: the same seed and clock give the same bytes, and
nothing here knows how Headgate reads CircleCI. The guide is `docs/twin.md`.
"""

from headgate.testing.circleci.client import TwinClient
from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.twin import Twin, TwinProcess
from headgate.testing.circleci.webhooks import signature

__all__ = ["Knobs", "Options", "Twin", "TwinClient", "TwinProcess", "signature"]
