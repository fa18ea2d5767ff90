"""What audits have proven, as it is stored: one mark for each scope, one fact for each scope, kind and hour.

Invariant: expected = present + repaired + unrepairable in every tally.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from headgate.core.merge import Observation, ProjectRef
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS, HOUR_MS

__all__ = [
    "NEVER_MS",
    "PREFIX",
    "AuditMark",
    "Proof",
    "Silence",
    "Tally",
    "audit_observations",
    "decode_mark",
    "load_marks",
    "mark_key",
]

PREFIX = "audit/"
NEVER_MS = 1 << 62
_TRUST_HOURS = 6  # a webhook was missed in them: everything is asked about as without webhooks
_KEPT_MS = 26 * HOUR_MS  # hours that a mark remembers; older ones are records and facts alone
_SILENT_AFTER = 5  # fewer are lost now and then; a run of a few jobs is more
What = Literal["runs", "reruns"]


class Tally(msgspec.Struct, array_like=True):
    """Figures of one hour. `unannounced`: ended ones whose webhook never came."""

    expected: int = 0
    present: int = 0
    repaired: int = 0
    unrepairable: int = 0
    unannounced: int = 0

    def add(self, other: Tally) -> None:
        """Sum up."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Silence(msgspec.Struct, omit_defaults=True):
    """Webhooks of one kind. `heard_ms`: the newest end that one told of, 0: of none yet.

    `missing`: how many ended after it, webhooks being listened for, and none told of them; the newest of those at
    `counted_ms`.
    """

    heard_ms: int = 0
    counted_ms: int = 0
    missing: int = 0

    def hear(self, told: Iterable[int], untold: Iterable[int]) -> None:
        """Ends of what a webhook told of, and of what none told of although it should have come by now."""
        heard_ms = max(told, default=0)
        if heard_ms > self.heard_ms:
            self.heard_ms, self.counted_ms, self.missing = heard_ms, heard_ms, 0
        if self.heard_ms:
            more = [at for at in untold if at > self.counted_ms]
            self.missing += len(more)
            self.counted_ms = max([*more, self.counted_ms])


class AuditMark(msgspec.Struct, omit_defaults=True):
    """What is remembered of a scope.

    `slug`: as people name it. `until_ms`: everything before it was held against the lists; `deep_ms`: also against
    those that are late. `hours`: by "what hour-number". `announced`: kind -> since when webhooks of it come; `silence`:
    kind -> since when they do not. `empty`: pipelines that were asked about and have no workflows, a skipped commit,
    say -> when they were made.
    """

    slug: str = ""
    until_ms: int = 0
    deep_ms: int = 0
    hours: dict[str, Tally] = msgspec.field(default_factory=dict)
    announced: dict[str, int] = msgspec.field(default_factory=dict)
    silence: dict[str, Silence] = msgspec.field(default_factory=dict)
    empty: dict[str, int] = msgspec.field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)

    def take(self, proof: Proof, now_ms: int) -> None:
        """Remember a proof. What was repaired or given up before counts on; hours long past are forgotten.

        A round that begins within an hour sees less of it than those before, and takes nothing back.
        """
        for name, tally in proof.hours.items():
            old = self.hours.get(name, Tally())
            repaired = tally.repaired + old.repaired
            unrepairable = max(tally.unrepairable, old.unrepairable)
            expected = max(tally.expected, old.expected)
            part = tally.expected < old.expected
            self.hours[name] = Tally(
                expected,
                max(0, expected - repaired - unrepairable),
                min(repaired, expected),
                unrepairable,
                max(tally.unannounced, old.unannounced) if part else tally.unannounced,
            )
        oldest = (now_ms - _KEPT_MS) // HOUR_MS
        self.hours = {name: tally for name, tally in self.hours.items() if int(name.split()[1]) >= oldest}

    def announces(self, now_ms: int) -> bool:
        """Whether webhooks of jobs come, and none of anything was missed in the last hours."""
        recent = [
            tally for name, tally in self.hours.items() if int(name.split()[1]) >= now_ms // HOUR_MS - _TRUST_HOURS
        ]
        return self.announced.get("job", NEVER_MS) < NEVER_MS and not any(tally.unannounced for tally in recent)

    def silent(self, now_ms: int) -> Silence | None:
        """The longest silence about a project that is still audited; None while webhooks come, or never came."""
        if now_ms - self.until_ms >= _KEPT_MS:
            return None
        found = [one for one in self.silence.values() if one.missing >= _SILENT_AFTER]
        return max(found, key=lambda one: one.missing, default=None)

    def last_day(self, now_ms: int) -> Tally:
        """Sums over the last 24 hours."""
        total = Tally()
        for name, tally in self.hours.items():
            if int(name.split()[1]) >= (now_ms - DAY_MS) // HOUR_MS:
                total.add(tally)
        return total


class Proof:
    """What one audit of one scope found, by kind and hour.

    `brought`: jobs that came with the runs that were asked for; `gone`: what the source itself no longer has.
    """

    def __init__(self) -> None:
        self.hours: dict[str, Tally] = {}
        self.brought: set[str] = set()
        self.gone: set[str] = set()

    def tally(self, at_ms: int, what: What) -> Tally:
        """The figures that something of that time counts in."""
        return self.hours.setdefault(f"{what} {at_ms // HOUR_MS}", Tally())

    def total(self) -> Tally:
        """Sums over all hours."""
        total = Tally()
        for tally in self.hours.values():
            total.add(tally)
        return total


def audit_observations(
    hours: Mapping[str, Tally], key: str, project: ProjectRef, observed_ms: int
) -> list[Observation]:
    """One fact for each kind and hour, for every sink."""
    found = []
    for name, tally in hours.items():
        what, _, hour = name.partition(" ")
        fields = {"what": what, "hour": int(hour) * HOUR_MS, **msgspec.structs.asdict(tally)}
        found.append(Observation("audit", f"{key}|{what}|{hour}", project, "audit", observed_ms, True, fields))
    return found


def mark_key(scope_key: str) -> str:
    """The key of a scope's mark."""
    return PREFIX + scope_key


def decode_mark(value: bytes | None) -> AuditMark:
    """A stored mark; an empty one where there is none."""
    return msgspec.json.decode(value, type=AuditMark) if value else AuditMark()


async def load_marks(store: Store, source: str) -> dict[str, AuditMark]:
    """Marks by scope key."""
    marks = await store.source_marks(source, PREFIX)
    return {key.removeprefix(PREFIX): decode_mark(value) for key, value in marks.items()}
