"""Which size of machine a job needs, from how busy it kept the one that it has. Pure.

Invariant: no class is advised whose memory is less than the highest use that was seen and a fifth more, and none on
fewer than `FEWEST_RUNS` runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.insights.resourceclasses import ResourceClass

__all__ = ["FEWEST_RUNS", "HEADROOM", "Advice", "Load", "Verdict", "advise", "percentile"]

# On fewer runs the next one may be the first that needs more.
FEWEST_RUNS = 20
# What must be free above the highest memory use that was seen: a job that runs out of it is killed.
HEADROOM = 0.2
# Memory use from which the next run may be killed, and processor use from which it holds a job up.
_FULL_RAM, _FULL_CPU = 90, 95
Verdict = Literal["smaller", "larger", "fits", "too_few_runs", "unknown_class", "no_figures"]
Risk = Literal["low", "medium"]


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a job kept its machines: percent, rounded up -> runs; of memory and processors the highest of each run,
    and of processors the median too.
    """

    ram_max: Mapping[int, int]
    cpu_median: Mapping[int, int]
    cpu_max: Mapping[int, int]

    @property
    def runs(self) -> int:
        """Runs whose memory use is known."""
        return sum(self.ram_max.values())


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do. `to`: the class, of a `smaller` or `larger` verdict alone; `reason`: why, in words.

    `risk`: medium where processors were at times busier than the smaller class allows, so that it may run longer.
    `saving`: share of the compute credits that the class saves at the same run time, negative where it costs more; None
    where a price is not known.
    """

    verdict: Verdict
    reason: str
    to: ResourceClass | None = None
    risk: Risk | None = None
    saving: float | None = None


def percentile(counts: Mapping[int, int], q: float) -> int | None:
    """Nearest rank; None of nothing."""
    left = max(1, -(-sum(counts.values()) * round(q * 1000) // 1000))
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return None


def advise(
    load: Load, has: ResourceClass | None, family: Sequence[ResourceClass], *, fewest: int = FEWEST_RUNS
) -> Advice:
    """Advise on one job on one class. `family`: classes that may replace it, the smallest first, itself among them."""
    if has is None:
        return Advice("unknown_class", "Its size is not known; `resource_classes` of the configuration can tell it.")
    if not load.runs:
        return Advice("no_figures", "The usage export has no figures of memory for its runs.")
    if load.runs < fewest:
        return Advice("too_few_runs", f"{load.runs} runs have figures; less than {fewest} are too few.")
    needs_gb = max(load.ram_max) / 100 * has.ram_gb * (1 + HEADROOM)
    busy = percentile(load.cpu_median, 0.95)
    larger = _larger(load, has, family, needs_gb, busy)
    if larger is not None:
        return larger
    if busy is None:
        return Advice("fits", "How busy its processors are is not known, so none can be taken away.")
    needs_cpus = busy / 100 * has.cpus
    fitting = (one for one in family if one.ram_gb >= needs_gb and one.cpus >= needs_cpus and _less(one, has))
    to = min(fitting, key=lambda one: (one.credits or 0.0, one.ram_gb, one.cpus), default=None)
    if to is None:
        return Advice("fits", "No smaller class has the memory and the processors that it used, with a fifth to spare.")
    peak = percentile(load.cpu_max, 0.95)
    calm = peak is not None and peak / 100 * has.cpus <= to.cpus
    words = f"It used {max(load.ram_max)} % of {has.ram_gb:g} GB at most; {to.name} has {to.ram_gb:g} GB."
    slower = "" if calm else " Its processors were at times busier than that class allows: it may run longer."
    return Advice("smaller", words + slower, to, "low" if calm else "medium", _saving(has, to))


def _larger(
    load: Load, has: ResourceClass, family: Sequence[ResourceClass], needs_gb: float, busy: int | None
) -> Advice | None:
    """Where memory or processors are used up."""
    full = (percentile(load.ram_max, 0.95) or 0) >= _FULL_RAM
    if not full and (busy is None or busy < _FULL_CPU):
        return None
    more = [
        one
        for one in family
        if one.ram_gb >= needs_gb and one.cpus >= has.cpus and one.cpus + one.ram_gb > has.cpus + has.ram_gb
    ]
    if not full:
        more = [one for one in more if one.cpus > has.cpus]
    what = "memory" if full else "processors"
    if not more:
        return Advice("fits", f"Its {what} are used up, and there is no larger class.") if full else None
    words = {
        "memory": f"One of twenty runs used {percentile(load.ram_max, 0.95)} % of its memory or more: it may be killed.",
        "processors": f"Its processors were {busy} % busy through half of such a run: more of them may end it sooner.",
    }
    return Advice("larger", words[what], more[0], None, _saving(has, more[0]))


def _less(one: ResourceClass, has: ResourceClass) -> bool:
    """Whether it is smaller, and no dearer where prices are known."""
    if one.credits is not None and has.credits is not None:
        return one.credits < has.credits
    return one.ram_gb + one.cpus < has.ram_gb + has.cpus and one.ram_gb <= has.ram_gb and one.cpus <= has.cpus


def _saving(has: ResourceClass, to: ResourceClass) -> float | None:
    return None if not has.credits or to.credits is None else 1 - to.credits / has.credits
