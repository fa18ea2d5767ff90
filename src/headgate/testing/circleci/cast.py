"""Who and what the organization consists of: people, projects, and how CircleCI spells each of them.

Invariant: a pure function of the seed and the number of projects.
"""

from dataclasses import dataclass
from enum import StrEnum

from headgate.testing.circleci.ids import Ids


class Family(StrEnum):
    """How a project is connected, which decides its slug and what its webhooks look like."""

    OAUTH = "github"
    APP = "github_app"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who pushes, approves and reruns; `number` is the id v1.1 gives."""

    id: str
    login: str
    name: str
    email: str
    avatar_url: str
    number: int


@dataclass(frozen=True, slots=True)
class Org:
    """An organization; `slug` is the short form with two segments."""

    id: str
    name: str
    slug: str
    vcs_type: str


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `slug` is the short form, `long_slug` the form of URLs and webhooks."""

    index: int
    id: str
    name: str
    family: Family
    org: Org
    slug: str
    long_slug: str
    repository_url: str
    default_branch: str

    @property
    def has_vcs(self) -> bool:
        """Say whether pipelines carry `vcs` (else `trigger_parameters`)."""
        return self.family in {Family.OAUTH, Family.BITBUCKET}

    @property
    def vcs_url(self) -> str:
        """Give the URL that project answers and v1.1 show, which is opaque outside OAuth and Bitbucket."""
        return self.repository_url if self.has_vcs else f"//circleci.com/{self.org.id}/{self.id}"


_NAMES = (
    "web", "mobile", "payments", "docs-site", "api", "search", "auth", "worker",
    "gateway", "billing", "reports", "infra",
)  # fmt: skip
_PEOPLE = (
    ("ada", "Ada Byron"),
    ("grace", "Grace Murray"),
    ("edsger", "Edsger Rotterdam"),
    ("barbara", "Barbara Huberman"),
    ("donald", "Donald Ervin"),
    ("radia", "Radia Joy"),
    ("ken", "Ken Lane"),
    ("margaret", "Margaret Heafield"),
    ("tony", "Tony Colombo"),
    ("frances", "Frances Peru"),
)
_HOSTS = {Family.GITLAB: "https://gitlab.com", Family.BITBUCKET: "https://bitbucket.org"}


def people(ids: Ids) -> tuple[Person, ...]:
    """Give the people, always the same ten."""
    return tuple(
        Person(
            id=ids.named("person", login),
            login=login,
            name=name,
            email=f"{login}@example.com",
            avatar_url=f"https://avatars.githubusercontent.com/u/{1000 + number}?v=4",
            number=1000 + number,
        )
        for number, (login, name) in enumerate(_PEOPLE)
    )


def projects(ids: Ids, count: int, *, families: bool) -> tuple[Project, ...]:
    """Give the projects: from four on, if `families`, the second to fourth are GitHub App, GitLab and Bitbucket."""
    special = (Family.OAUTH, Family.APP, Family.GITLAB, Family.BITBUCKET) if families and count >= 4 else ()
    return tuple(
        _project(ids, index, special[index] if index < len(special) else Family.OAUTH) for index in range(count)
    )


def _project(ids: Ids, index: int, family: Family) -> Project:
    name = _NAMES[index] if index < len(_NAMES) else f"service-{index}"
    host = _HOSTS.get(family, "https://github.com")
    org = _org(ids, family)
    if family in {Family.APP, Family.GITLAB}:
        slug = long_slug = f"{org.slug}/{ids.opaque('project', family, name)}"
    else:
        slug, long_slug = f"{org.slug}/{name}", f"{org.vcs_type}/{org.name}/{name}"
    return Project(
        index=index,
        id=ids.named("project", family, name),
        name=name,
        family=family,
        org=org,
        slug=slug,
        long_slug=long_slug,
        repository_url=f"{host}/acme/{name}",
        default_branch="master" if family is Family.BITBUCKET else "main",
    )


def _org(ids: Ids, family: Family) -> Org:
    org_id = ids.named("org", family)
    if family is Family.OAUTH:
        return Org(org_id, "acme", "gh/acme", "github")
    if family is Family.BITBUCKET:
        return Org(org_id, "acme", "bb/acme", "bitbucket")
    return Org(org_id, "acme", f"circleci/{ids.opaque('org', family)}", "circleci")
