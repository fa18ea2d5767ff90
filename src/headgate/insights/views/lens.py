"""Everything that a page is made from: the store, the time, the metrics and who owns what.

Invariant: a lens is made for one answer and forgotten after it, so that an answer is of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.runrows import ProjectRow, RunChoice
from headgate.core.slug import org_slug, short_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import DEFAULT_BRANCH, OTHER_BRANCH
from headgate.insights.catalogue import CATALOGUE, Catalogue
from headgate.insights.match import Matcher
from headgate.insights.metric import MetricDef
from headgate.insights.outlook import Budget
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader
from headgate.insights.resourceclasses import ResourceClasses
from headgate.insights.views.refusal import Refused, unknown

__all__ = ["OF_RUNS", "Filters", "Lens"]

BRANCH_CLASSES = (DEFAULT_BRANCH, OTHER_BRANCH)
# Filters that runs have, and that sums over all of them do not know.
OF_RUNS = ("branch", "branch_class", "trigger")


@dataclass(frozen=True, slots=True)
class Filters:
    """What runs and jobs a page is about; an empty text takes everything."""

    branch: str = ""
    branch_class: str = ""
    trigger: str = ""
    org: str = ""
    team: str = ""

    def matchers(self, **more: str) -> tuple[Matcher, ...]:
        """As a measurement takes them, with more of them by name. Raises Refused."""
        if self.branch_class and self.branch_class not in BRANCH_CLASSES:
            raise Refused(
                "bad-filter",
                f"{self.branch_class!r} is no class of branches",
                parameter="branch_class",
                valid=BRANCH_CLASSES,
            )
        told = {name: getattr(self, name) for name in ("branch", "branch_class", "trigger", "org", "team")}
        return tuple(Matcher(name, "=", value) for name, value in {**told, **more}.items() if value)

    def choice(self, status: str = "") -> RunChoice:
        """As a store takes them, without organisation and team. `status`: our word."""
        branch_class = {DEFAULT_BRANCH: 1, OTHER_BRANCH: 0}.get(self.branch_class)
        return RunChoice(self.branch, branch_class, self.trigger, status)

    @property
    def of_runs(self) -> bool:
        """Whether one of them is such that sums over all runs do not know it."""
        return any(getattr(self, name) for name in OF_RUNS)

    def refuse(self, names: Sequence[str], why: str, valid: Sequence[str]) -> None:
        """Raise Refused for the first of these filters that is asked for. `why`: how it is counted instead."""
        for name in names:
            if getattr(self, name):
                raise Refused("bad-filter", f"{why}, not by {name}", parameter=name, valid=valid)


@dataclass(frozen=True, slots=True)
class Lens:
    """`behind_ms`: project -> how far behind the present it is collected.

    `classes`: sizes of machines; `budgets`: those of the rules.
    """

    store: ReadStore
    now_ms: int
    catalogue: Catalogue = field(default_factory=lambda: CATALOGUE)
    owners: Owners = field(default_factory=Owners)
    behind_ms: Mapping[str, int] = field(default_factory=dict)
    classes: ResourceClasses = field(default_factory=ResourceClasses)
    budgets: Sequence[Budget] = ()
    # Projects, read once: parts of a page ask for them again and again.
    _read: list[ProjectRow] = field(default_factory=list, init=False, repr=False, compare=False)

    def reader(self) -> Reader:
        """A reader for one answer."""
        return Reader(self.store, owners=self.owners, behind_ms=self.behind_ms)

    def metrics(self, names: Iterable[str]) -> Mapping[str, MetricDef]:
        """Metrics of the catalogue by the names that answers use."""
        return {name: self.catalogue.names[name] for name in names}

    def takes(self, filters: Filters, project: str, workflow: str = "", job: str = "") -> bool:
        """Whether filters on organisation and team take a place."""
        named = filters.org in ("", org_slug(project))
        return named and filters.team in ("", self.owners.team(project, workflow, job))

    async def projects(self) -> Sequence[ProjectRow]:
        """Every project that is known, by slug; an organisation that CircleCI tells figures of is none."""
        if not self._read:
            self._read.extend(one for one in await self.store.projects() if one.project != one.org)
        return self._read

    async def project(self, slug: str) -> ProjectRow:
        """One of them, by any form of its slug. Raises Refused that names others."""
        known = {one.project: one for one in await self.projects()}
        found = known.get(short_slug(slug))
        if found is None:
            raise unknown("unknown-project", "project", slug, known)
        return found
