"""Merging what several inputs said into what is known. Pure, commutative, idempotent and associative.

Each field keeps where its value came from and takes the maximum of (terminal, specific, source rank, observed_at,
value), so any order of webhook, poll and export ends in the same state. Credits are a bill and no state: for them the
source rank goes before terminal. A field that an input does not know is absent and never overrides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from headgate.core.facts import FIELD_INDEX, FIELDS, FactKind, Family, Value

__all__ = [
    "EMPTY",
    "Known",
    "Observation",
    "ProjectRef",
    "Stamp",
    "decode_stamps",
    "encode_stamps",
    "merge",
]

# Higher wins. Source: order at the end of the CircleCI notes (docs/circleci.md): "times webhook > v1.1 > v2 lists;
# status webhook > v2 > insights; credits export > insights; author v1.1 > webhook > pipelines".
_RANKS: dict[Family, tuple[str, ...]] = {
    # The export and v2 lists come last: they have whole seconds, and of workflows Insights knows the milliseconds.
    "time": ("export", "v2", "insights", "detail", "v1.1", "webhook"),
    "status": ("insights", "export", "v1.1", "detail", "v2", "webhook"),
    "author": ("insights", "export", "detail", "v2", "webhook", "v1.1"),
    "credits": ("v2", "detail", "v1.1", "webhook", "insights", "export"),
    "plain": ("insights", "export", "detail", "v1.1", "v2", "webhook"),
    "derived": (),
}
# How much a source is believed about a family of fields; one that is not named (a plugin's) counts 0.
_RANK: dict[Family, dict[str, int]] = {
    family: {source: rank + 1 for rank, source in enumerate(order)} for family, order in _RANKS.items()
}
# Words that say more than the `failed` which webhooks send for every kind of failure; among final statuses they win
# whatever the source (docs/decisions/0004).
_SPECIFIC = frozenset({"infrastructure_fail", "timedout"})
_FAMILY: dict[FactKind, dict[str, Family]] = {
    kind: {field.name: field.family for field in fields} for kind, fields in FIELDS.items()
}


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """Which project a thing belongs to. Ids are the keys; slugs are how people name it today.

    `host`: where the provider lives, such as `circleci.com`. `slug`, `org`: short form (core.slug).
    `project_id`, `org_id`: provider UUIDs, None where the input does not carry them. What belongs to an organisation
    and to none of its projects has the organisation's slug in both.
    """

    host: str
    slug: str
    org: str
    project_id: str | None = None
    org_id: str | None = None
    default_branch: str | None = None


class Observation(msgspec.Struct, frozen=True, gc=False):
    """What one input said about one thing.

    `key`: the provider's UUID as lower-case text, or `ids.number_key` for a build that has none.
    `source`: webhook, v2, detail, v1.1, insights, export, or a plugin's own word.
    `terminal`: the input says that the thing has ended. `enriches`: this input is the one that release waits for.
    `fields`: names of core.facts only, values of the declared type; absent means not known, never None.
    """

    kind: FactKind
    key: str
    project: ProjectRef
    source: str
    observed_ms: int
    terminal: bool
    fields: Mapping[str, Value]
    enriches: bool = False


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """Where a value came from."""

    terminal: bool
    observed_ms: int
    source: str


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is known about one thing: each field's value and where it came from. Owned by whoever merges."""

    values: Mapping[str, Value]
    stamps: Mapping[str, Stamp]

    @property
    def terminal(self) -> bool:
        """Whether any input said that the thing has ended."""
        return any(stamp.terminal for stamp in self.stamps.values())


EMPTY = Known({}, {})


def _order(value: Value) -> tuple[str, str]:
    """A total order over values of any type; its only purpose is that ties end the same way in every order."""
    return (type(value).__name__, msgspec.json.encode(value, order="deterministic").decode())


def _wins(new: Value, new_stamp: Stamp, old: Value, old_stamp: Stamp, family: Family) -> bool:
    ranks = _RANK[family]
    new_rank, old_rank = ranks.get(new_stamp.source, 0), ranks.get(old_stamp.source, 0)
    billed = family == "credits" and new_rank != old_rank
    if not billed and new_stamp.terminal != old_stamp.terminal:
        return new_stamp.terminal
    if family == "status" and (new in _SPECIFIC) != (old in _SPECIFIC):
        return new in _SPECIFIC
    if new_rank != old_rank:
        return new_rank > old_rank
    if new_stamp.observed_ms != old_stamp.observed_ms:
        return new_stamp.observed_ms > old_stamp.observed_ms
    if new != old:
        return _order(new) > _order(old)
    return new_stamp.source > old_stamp.source


def merge(known: Known, observation: Observation) -> Known:
    """The state after one more observation. Returns `known` itself when nothing changed."""
    stamp = Stamp(observation.terminal, observation.observed_ms, observation.source)
    families = _FAMILY[observation.kind]
    if not known.stamps:
        told = {name: value for name, value in observation.fields.items() if families[name] != "derived"}
        return Known(told, dict.fromkeys(told, stamp)) if told else known
    values: dict[str, Value] | None = None
    stamps: dict[str, Stamp] = {}
    for name, value in observation.fields.items():
        family, old_stamp = families[name], known.stamps.get(name)
        if family == "derived":
            continue
        if old_stamp is not None and not _wins(value, stamp, known.values[name], old_stamp, family):
            continue
        if values is None:
            values, stamps = dict(known.values), dict(known.stamps)
        values[name] = value
        stamps[name] = stamp
    return known if values is None else Known(values, stamps)


_Packed = tuple[list[tuple[bool, int, str]], bytes]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)
_ABSENT = 255


def encode_stamps(kind: FactKind, stamps: Mapping[str, Stamp]) -> bytes:
    """Pack the provenance of one fact: the few distinct stamps, and one byte per field that points at one."""
    index = FIELD_INDEX[kind]
    groups: dict[Stamp, int] = {}
    pointers = bytearray([_ABSENT]) * len(index)
    last, group = None, 0
    for name, stamp in stamps.items():
        if stamp is not last:  # what one input told has one stamp
            last, group = stamp, groups.setdefault(stamp, len(groups))
        pointers[index[name]] = group
    return _encoder.encode(([(s.terminal, s.observed_ms, s.source) for s in groups], bytes(pointers)))


def decode_stamps(kind: FactKind, packed: bytes) -> dict[str, Stamp]:
    """Unpack `encode_stamps`; fields appended to the kind since then are absent."""
    rows, pointers = _decoder.decode(packed)
    groups = [Stamp(*row) for row in rows]
    return {
        name: groups[pointers[position]]
        for name, position in FIELD_INDEX[kind].items()
        if position < len(pointers) and pointers[position] != _ABSENT
    }
