"""What the configuration adds to metrics: KPIs by formula, who owns what, and sizes of machines.

Invariant: what was read can be used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from headgate.insights.catalogue import CATALOGUE, Catalogue
from headgate.insights.kpi import make_kpi, parse_formula
from headgate.insights.metric import Format
from headgate.insights.owners import Owner, Owners, parse_owner
from headgate.insights.resourceclasses import ResourceClass, ResourceClasses

__all__ = [
    "KpiConfig",
    "Kpis",
    "OwnerConfig",
    "ResourceClassConfig",
    "catalogue_of",
    "classes_of",
    "owners_of",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KpiConfig(_Part):
    """A metric of your own."""

    formula: str = Field(description="Metrics and numbers with + - * / and abs, min, max: credits / deployments.")
    format: Format = Field(default="number", description="How values are written, and what rules compare them with.")
    unit: str = Field(default="1", description="Unit of the value, for people.")
    doc: str = Field(default="", description="What it means.")
    higher_is_worse: bool = Field(default=True, description="Whether a rise is bad news.")

    @field_validator("formula")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_formula(value, CATALOGUE)
        return value


class OwnerConfig(_Part):
    """Whose something is: the dimension `team`."""

    match: dict[str, str] | list[str] = Field(
        description="Of org, project, workflow and job: equal values, or a list of matchers such as project=~gh/acme/.*"
    )
    team: str = Field(min_length=1, description="Name of the team; the first entry that matches decides.")

    @field_validator("match")
    @classmethod
    def _readable(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        parse_owner(value, "")
        return value

    def owner(self) -> Owner:
        """The entry as it is used."""
        return parse_owner(self.match, self.team)


class ResourceClassConfig(_Part):
    """The size and price of a machine, for advice on sizes: one of your own, or in place of what is known."""

    name: str = Field(min_length=1, description="As the usage export writes it, such as large or acme/runner.")
    executor: str = Field(default="docker", min_length=1, description="docker, machine, macos ..., as in the export.")
    family: str = Field(default="", description="Classes of one family may replace one another; else by executor.")
    cpus: float = Field(gt=0, description="Processors.")
    ram_gb: float = Field(gt=0, description="Memory, gigabytes.")
    credits_per_minute: float | None = Field(default=None, ge=0, description="Price; without one no saving is told.")

    def resource_class(self) -> ResourceClass:
        """The entry as it is used: a class that is known stays in its family."""
        known = ResourceClasses().find(self.executor, self.name)
        family = self.family or (known.family if known else self.executor)
        return ResourceClass(self.name, self.executor, family, self.cpus, self.ram_gb, self.credits_per_minute)


def classes_of(entries: Iterable[ResourceClassConfig]) -> ResourceClasses:
    """Sizes of machines."""
    return ResourceClasses(entry.resource_class() for entry in entries)


def catalogue_of(kpis: Mapping[str, KpiConfig]) -> Catalogue:
    """Every metric there is, with the KPIs. Raises ValueError for a name that cannot be taken."""
    return CATALOGUE.extended(
        make_kpi(
            name,
            kpi.formula,
            form=kpi.format,
            unit=kpi.unit,
            doc=kpi.doc,
            higher_is_worse=kpi.higher_is_worse,
            catalogue=CATALOGUE,
        )
        for name, kpi in kpis.items()
    )


def owners_of(entries: Iterable[OwnerConfig]) -> Owners:
    """Who owns what."""
    return Owners([entry.owner() for entry in entries])


def _usable(kpis: dict[str, KpiConfig]) -> dict[str, KpiConfig]:
    catalogue_of(kpis)
    return kpis


Kpis = Annotated[dict[str, KpiConfig], AfterValidator(_usable)]
