"""Which size of machine a job needs, from how busy it kept the one that it has. Pure.

Invariant: no class is advised whose memory is less than the highest use that was seen and a fifth more, and none on
fewer than `FEWEST_RUNS` runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from headgate.core.detailrows import Busy
from headgate.insights.resourceclasses import ResourceClass

__all__ = ["FEWEST_RUNS", "HEADROOM", "Advice", "Load", "Verdict", "advise"]

# On fewer runs the next one may be the first that needs more.
FEWEST_RUNS = 20
# What must be free above the highest memory use that was seen: a job that runs out of it is killed.
HEADROOM = 0.2
# Memory use from which the next run may be killed, and processor use from which it holds a job up.
_FULL_RAM, _FULL_CPU = 90, 95
Verdict = Literal["smaller", "larger", "fits", "too_few_runs", "unknown_class", "no_figures"]
Risk = Literal["low", "medium"]


class Load(NamedTuple):
    """How busy a job kept its machines.

    Of memory and processors the highest use of each run, and of processors the median too.
    """

    ram_max: Busy
    cpu_median: Busy
    cpu_max: Busy


class Advice(NamedTuple):
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


def advise(
    load: Load, has: ResourceClass | None, family: Sequence[ResourceClass], *, fewest: int = FEWEST_RUNS
) -> Advice:
    """Advise on one job on one class. `family`: classes that may replace it, the smallest first, itself among them."""
    if has is None:
        return Advice("unknown_class", "Its size is not known; `resource_classes` of the configuration can tell it.")
    runs, highest = load.ram_max.runs, load.ram_max.highest or 0
    if not runs:
        return Advice("no_figures", "The usage export has no figures of memory for its runs.")
    if runs < fewest:
        return Advice("too_few_runs", f"{runs} runs have figures; less than {fewest} are too few.")
    needs_gb = highest / 100 * has.ram_gb * (1 + HEADROOM)
    roomy = [one for one in family if one.ram_gb >= needs_gb]
    return _larger(load, has, roomy) or _smaller(load, has, roomy)


def _larger(load: Load, has: ResourceClass, roomy: Sequence[ResourceClass]) -> Advice | None:
    """Where memory or processors are used up. `roomy`: classes with memory enough."""
    ram, busy = _beyond(load.ram_max, _FULL_RAM), _beyond(load.cpu_median, _FULL_CPU)
    if ram:
        what, words = "memory is", f"One of twenty runs used {ram} % of its memory or more: it may be killed."
        more = [one for one in roomy if one.ram_gb > has.ram_gb and one.cpus >= has.cpus]
    elif busy:
        what, words = (
            "processors are",
            f"They were {busy} % busy through half of one run of twenty.",
        )
        more = [one for one in roomy if one.cpus > has.cpus]
    else:
        return None
    if not more:
        return Advice("fits", f"Its {what} used up, and no larger class is known.")
    return Advice("larger", words, more[0], None, _saving(has, more[0]))


def _beyond(busy: Busy, least: int) -> int | None:
    """The percentile where it is that much; it takes longer to work out than the highest, which is no less."""
    return found if (busy.highest or 0) >= least and (found := busy.p95 or 0) >= least else None


def _smaller(load: Load, has: ResourceClass, roomy: Sequence[ResourceClass]) -> Advice:
    """The smallest class with memory and processors enough."""
    smaller = [one for one in roomy if _less(one, has)]
    busy = load.cpu_median.p95 if smaller else load.cpu_median.highest
    if busy is None:
        return Advice("fits", "How busy its processors are is not known, so none can be taken away.")
    to = next((one for one in smaller if one.cpus >= busy / 100 * has.cpus), None)
    if to is None:
        return Advice(
            "fits", "No smaller class has the processors, and with a fifth to spare the memory, that it used."
        )
    peak = load.cpu_max.p95
    calm = peak is not None and peak / 100 * has.cpus <= to.cpus
    words = f"It used {load.ram_max.highest} % of {has.ram_gb:g} GB at most; {to.name} has {to.ram_gb:g} GB."
    slower = "" if calm else " Its processors were at times busier than that class allows: it may run longer."
    return Advice("smaller", words + slower, to, "low" if calm else "medium", _saving(has, to))


def _less(one: ResourceClass, has: ResourceClass) -> bool:
    """Whether it is smaller, and no dearer where prices are known."""
    if one.credits is not None and has.credits is not None:
        return one.credits < has.credits
    return one.ram_gb + one.cpus < has.ram_gb + has.cpus and one.ram_gb <= has.ram_gb and one.cpus <= has.cpus


def _saving(has: ResourceClass, to: ResourceClass) -> float | None:
    return None if not has.credits or to.credits is None else 1 - to.credits / has.credits
