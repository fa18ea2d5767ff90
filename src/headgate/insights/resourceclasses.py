"""What machines CircleCI offers: processors, memory and price of each resource class, and what a setting says instead.

Sizes: the resource class tables of CircleCI's documentation (circleci-docs, `execution-resources`), read on 2026-11-21.
Prices: credits a minute of CircleCI's price list as users quote it, read on the same day; a class whose price could not
be read has none. Both change: the setting `resource_classes` overrides them and adds others, such as runners of one's
own. Which executor a class belongs to decides what may replace it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["CLASSES", "ResourceClass", "ResourceClasses"]


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """One size of machine. `executor`: as the usage export says it; `family`: sizes that may replace one another.

    `ram_gb`: gigabytes; `credits`: for a minute, None where not known.
    """

    name: str
    executor: str
    family: str
    cpus: float
    ram_gb: float
    credits: float | None


def _sizes(executor: str, family: str, *rows: tuple[str, float, float, float | None]) -> tuple[ResourceClass, ...]:
    return tuple(ResourceClass(name, executor, family, cpus, ram, price) for name, cpus, ram, price in rows)


CLASSES: tuple[ResourceClass, ...] = (
    *_sizes(
        "docker",
        "docker",
        ("small", 1, 2, 5),
        ("medium", 2, 4, 10),
        ("medium+", 3, 6, 15),
        ("large", 4, 8, 20),
        ("xlarge", 8, 16, 40),
        ("2xlarge", 16, 32, 80),
        ("2xlarge+", 20, 40, 100),
    ),
    *_sizes(
        "docker",
        "docker, Arm",
        ("arm.medium", 2, 8, 13),
        ("arm.large", 4, 16, 26),
        ("arm.xlarge", 8, 32, None),
        ("arm.2xlarge", 16, 64, None),
    ),
    *_sizes(
        "machine",
        "Linux machine",
        ("medium", 2, 7.5, 10),
        ("large", 4, 15, 20),
        ("xlarge", 8, 32, 40),
        ("2xlarge", 16, 64, 80),
        ("2xlarge+", 32, 64, None),
    ),
    *_sizes(
        "machine",
        "Arm machine",
        ("arm.medium", 2, 8, 10),
        ("arm.large", 4, 16, 20),
        ("arm.xlarge", 8, 32, None),
        ("arm.2xlarge", 16, 64, None),
    ),
    *_sizes(
        "machine",
        "Windows",
        ("windows.medium", 4, 15, None),
        ("windows.large", 8, 30, None),
        ("windows.xlarge", 16, 60, None),
        ("windows.2xlarge", 32, 128, None),
    ),
    *_sizes("macos", "macOS, M1", ("macos.m1.medium.gen1", 4, 6, None), ("macos.m1.large.gen1", 8, 12, None)),
    *_sizes("macos", "macOS, M2 Pro", ("m2pro.medium", 4, 8, None), ("m2pro.large", 8, 16, None)),
    *_sizes("macos", "macOS, M4 Pro", ("m4pro.medium", 6, 28, None), ("m4pro.large", 12, 56, None)),
)


class ResourceClasses:
    """The classes that are known. `own`: those of the configuration, which win over CircleCI's of the same name."""

    def __init__(self, own: Iterable[ResourceClass] = ()) -> None:
        known = {(one.executor, one.name): one for one in CLASSES}
        self._known = known | {(one.executor, one.name): one for one in own}
        self._families: dict[str, Sequence[ResourceClass]] = {}

    def find(self, executor: str, name: str) -> ResourceClass | None:
        """The class of a name on an executor; None for one that is not known."""
        return self._known.get((executor, name))

    def family(self, one: ResourceClass) -> Sequence[ResourceClass]:
        """All that may replace it and itself, the smallest memory first."""
        if one.family not in self._families:
            found = (other for other in self._known.values() if other.family == one.family)
            self._families[one.family] = sorted(found, key=lambda other: (other.ram_gb, other.cpus, other.name))
        return self._families[one.family]
