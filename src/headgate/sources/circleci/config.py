"""The configuration of a CircleCI source: what people write under `sources.<name>` with `type: circleci`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from headgate.core.slug import short_slug
from headgate.plugins.config import Duration, PluginConfig, Secret, SourceConfig, duration_field, format_duration
from headgate.plugins.tls import CaFile
from headgate.sources.circleci.config_details import DeploymentRule, DetailsConfig

__all__ = [
    "BudgetConfig",
    "CircleCIConfig",
    "DiscoverConfig",
    "InsightsConfig",
    "PersonalConfig",
    "ProjectsConfig",
    "UsageExportConfig",
    "WebhookConfig",
]

Handling = Literal["keep", "hash", "drop"]
Window = Literal["last-24-hours", "last-7-days", "last-30-days", "last-60-days", "last-90-days"]
InsightsPart = Literal["org", "project", "workflows", "jobs", "series", "tests", "flaky", "branches"]


def _off_is_zero(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return 0 if value is False or value == "off" else value


# A duration, or `off`, which is 0.
Every = Annotated[
    Duration,
    BeforeValidator(_off_is_zero),
    PlainSerializer(lambda ms: format_duration(ms) if ms else "off", return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "boolean"], "examples": ["24h", "off"]}),
]


def _split(value: object) -> object:
    """So that a file can say ${CIRCLECI_ORGS:-}, which is one text with commas."""
    if not isinstance(value, str):
        return value
    return tuple(slug.strip() for slug in value.split(",") if slug.strip())


Orgs = Annotated[
    tuple[str, ...],
    BeforeValidator(_split),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]


class ProjectsConfig(PluginConfig):
    """Which projects are collected. An entry without `*`, `?`, `[` is asked for by name, seen lately or not."""

    include: tuple[str, ...] = Field(default=("*",), description="Project slugs or globs over them, such as gh/acme/*.")
    exclude: tuple[str, ...] = Field(default=(), description="Project slugs or globs that are left out.")

    @field_validator("include", "exclude")
    @classmethod
    def _short(cls, slugs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(short_slug(slug.strip()) for slug in slugs)


class WebhookConfig(PluginConfig):
    """Which webhooks are taken, and which ones `headgate webhooks` sets up."""

    secrets: tuple[Secret, ...] = Field(
        default=(),
        description="Signing secrets; several while one is being replaced. Blank ones are left out. None: no webhooks.",
    )
    max_body_bytes: int = Field(default=1_048_576, ge=1024, description="Longer deliveries are refused with 413.")

    url: str | None = Field(
        default=None,
        description="Public https URL of this source's webhooks, for `headgate webhooks`: CircleCI sends to it.",
    )
    name: str = Field(
        default="headgate", min_length=1, description="Name of our webhook; two installations need two names."
    )
    events: tuple[Literal["workflow-completed", "job-completed"], ...] = Field(
        default=("workflow-completed", "job-completed"), min_length=1, description="Events that our webhook sends."
    )
    verify_tls: bool = Field(default=True, description="CircleCI verifies the certificate behind `url`.")

    @field_validator("url")
    @classmethod
    def _is_public(cls, url: str | None) -> str | None:
        return url if url is None else _public_url(url.strip())

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.url is not None and not self.secrets:
            raise ValueError("webhook.secrets is needed where webhook.url is set; webhooks are made with the first one")
        return self

    @field_validator("secrets", mode="before")
    @classmethod
    def _without_blanks(cls, secrets: object) -> object:
        """So that a file for everybody can say ${CIRCLECI_WEBHOOK_SECRET:-}."""
        if not isinstance(secrets, list | tuple):
            return secrets
        return [secret for secret in secrets if not isinstance(secret, str) or secret.strip()]


class BudgetConfig(PluginConfig):
    """API calls at most; shared by everything that uses the same token on the same host."""

    per_second: float = Field(default=10, gt=0, description="Calls per second in the long run. A Server takes 150.")
    burst: int = Field(default=20, ge=1, description="Calls at once after a quiet time.")


class DiscoverConfig(PluginConfig):
    """How projects of the organisations are found."""

    every: Duration = duration_field(
        "15m", "How often the organisations' pipelines are looked through for new projects."
    )
    look_back: Duration = duration_field(
        "90d",
        "How far the first look through an organisation's pipelines goes where Insights do not name its projects.",
    )
    gone_after: Duration = duration_field(
        "7d",
        "A project that is not found, or may not be seen, for so long is gone: asked for once a day, its history kept.",
    )
    max_pages: int = Field(
        default=200,
        ge=1,
        description="Pages of one look through an organisation; a cut is warned about, and the next look goes on.",
    )


class UsageExportConfig(PluginConfig):
    """The usage export: job runs with their credits, a file for a whole organisation (cloud only)."""

    enabled: Literal["auto", "on", "off"] = Field(
        default="auto", description="auto: where the token may export; on: without asking first; off: never."
    )
    every: Duration = duration_field("24h", "How often the last 3 full days are exported by themselves; 0s: never.")
    poll: Duration = duration_field("6m", "How often an export under way is looked at; CircleCI asks for 6m or more.")
    max_bytes: int = Field(
        default=1_073_741_824, ge=1024, description="Longest file, packed; a longer one is given up."
    )
    keep_bad: str = Field(default="", description="Directory in which files that cannot be read are kept; none: off.")

    @field_validator("enabled", mode="before")
    @classmethod
    def _as_word(cls, enabled: object) -> object:
        """YAML reads on and off as true and false."""
        return {True: "on", False: "off"}[enabled] if isinstance(enabled, bool) else enabled


class InsightsConfig(PluginConfig):
    """What is read of CircleCI's own aggregates, and how often."""

    every: Every = duration_field("24h", "How often each organisation and project is asked about; `off`: never.")
    windows: tuple[Window, ...] = Field(
        default=("last-7-days", "last-30-days"), min_length=1, description="Reporting windows that are asked for."
    )
    parts: tuple[InsightsPart, ...] = Field(
        default=("org", "project", "workflows", "jobs", "tests", "flaky"),
        description="What is asked for; `series` and `branches` bring the most records and are left out unless named.",
    )

    @field_validator("windows", "parts")
    @classmethod
    def _once_each(cls, words: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(words))


class PersonalConfig(PluginConfig):
    """What is kept of personal data: `keep`, `hash` (keyed, cannot be undone) or `drop`."""

    email: Handling = Field(default="drop", description="E-mail addresses of authors.")
    login: Handling = Field(default="keep", description="Logins of authors.")
    name: Handling = Field(default="keep", description="Names of authors.")
    commit_subject: Handling = Field(default="keep", description="First lines of commit messages.")
    hash_key: Secret | None = Field(default=None, description="Key of the hash; needed where anything is hashed.")

    @model_validator(mode="after")
    def _key_for_hash(self) -> Self:
        if "hash" in (self.email, self.login, self.name, self.commit_subject) and self.hash_key is None:
            raise ValueError("personal.hash_key is needed where anything is hashed; set it to a long random text")
        return self


class CircleCIConfig(SourceConfig):
    """One CircleCI: the cloud or a Server installation, seen with one token."""

    type: Literal["circleci"] = Field(default="circleci", description="Kind of the source.")
    token: Secret | None = Field(
        default=None, description="Personal API token. May be left out where only webhooks are taken."
    )
    base_url: str = Field(
        default="https://circleci.com", description="Host that serves /api/v2 and /api/v1.1; a Server has its own."
    )
    mode: Literal["auto", "cloud", "server"] = Field(
        default="auto",
        description="Whether this is a Server installation; auto: unless base_url is circleci.com or this machine.",
    )
    host: str = Field(default="", description="Name that facts are kept under; the host of base_url unless set.")
    orgs: Orgs = Field(
        default=(), description="Organisation slugs, such as gh/acme or circleci/<id>; or a text of them with commas."
    )
    projects: ProjectsConfig = Field(default_factory=ProjectsConfig, description="Which projects.")
    webhook: WebhookConfig = Field(default_factory=WebhookConfig, description="Webhooks.")
    allow_unsigned: bool = Field(
        default=False, description="Take webhooks without a signature; for closed networks and tests alone."
    )
    budget: BudgetConfig = Field(default_factory=BudgetConfig, description="API calls.")
    discover: DiscoverConfig = Field(default_factory=DiscoverConfig, description="Finding projects.")
    details: DetailsConfig = Field(default_factory=DetailsConfig, description="What is asked about each ended job.")
    deployments: tuple[DeploymentRule, ...] = Field(default=(), description="Which jobs are deployments.")
    usage_export: UsageExportConfig = Field(default_factory=UsageExportConfig, description="The usage export.")
    insights: InsightsConfig = Field(default_factory=InsightsConfig, description="CircleCI's own aggregates.")
    timeout: Duration = duration_field("30s", "How long one API call may take.")
    http2: bool = Field(default=False, description="Speak HTTP/2 where the server does.")
    ca_file: CaFile | None = Field(default=None, description="PEM file of a private certificate authority.")
    proxy: SecretStr | None = Field(default=None, description="Proxy URL; may hold a user and password.")
    personal: PersonalConfig = Field(default_factory=PersonalConfig, description="Personal data.")

    @model_validator(mode="before")
    @classmethod
    def _links_of_a_server(cls, given: object) -> object:
        """The pages of a Server are at its own host."""
        url = given.get("base_url") if isinstance(given, dict) and "app_url" not in given else None
        if isinstance(given, dict) and isinstance(url, str) and _is_server(given.get("mode", "auto"), url):
            return given | {"app_url": url}
        return given

    @field_validator("base_url", "app_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("must be an http or https URL with a host and without credentials")
        return url.strip().rstrip("/").removesuffix("/api/v2").removesuffix("/api/v1.1")

    @field_validator("orgs")
    @classmethod
    def _are_orgs(cls, slugs: tuple[str, ...]) -> tuple[str, ...]:
        short = tuple(short_slug(slug.strip()) for slug in slugs)
        for slug in short:
            if slug.count("/") != 1 or not {"", ".", ".."}.isdisjoint(slug.split("/")):
                raise ValueError(f"{slug} is no organisation slug; write gh/acme, bb/acme or circleci/<id>")
        return short

    @model_validator(mode="after")
    def _token_to_poll(self) -> Self:
        wants = self.orgs or any(not _is_glob(slug) for slug in self.projects.include)
        if self.token is None and self.poll.enabled and wants:
            raise ValueError("token is needed to poll; set it, or poll: {enabled: false}")
        return self

    @property
    def profile(self) -> Literal["none", "batch", "each"]:
        """The enrichment that is possible: none without a token."""
        return self.enrich if self.token is not None else "none"

    @property
    def tenant(self) -> str:
        """The name that facts are kept under."""
        return self.host or urlsplit(self.base_url).hostname or self.base_url

    @property
    def is_server(self) -> bool:
        """Whether this is a Server installation: it has no usage export."""
        return _is_server(self.mode, self.base_url)

    def idle(self) -> str:
        """What to set where nothing is polled though it could be, or no webhook is taken either; empty elsewhere."""
        if self.token is None or not self.poll.enabled:
            return "" if self.takes_webhooks else "nothing is polled and webhook.secrets is empty: set token or secrets"
        if self.polls:
            return ""
        return (
            "orgs is empty and projects.include names no project: set orgs, such as [gh/acme], or the variable that it"
            " comes from (CIRCLECI_ORGS), or poll: {enabled: false} to take webhooks alone"
        )

    @property
    def polls(self) -> bool:
        """Whether there may be anything to poll."""
        return self.token is not None and self.poll.enabled and bool(self.orgs or self.explicit_projects)

    @property
    def takes_webhooks(self) -> bool:
        """Whether any webhook can be taken."""
        return bool(self.webhook.secrets) or self.allow_unsigned

    @property
    def explicit_projects(self) -> tuple[str, ...]:
        """Projects named without a glob."""
        return tuple(slug for slug in self.projects.include if not _is_glob(slug))


def _public_url(url: str) -> str:
    """The URL if CircleCI can be told to send to it. Raises ValueError."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be a URL with a host and without credentials, query and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("must be an https URL; CircleCI sends to no other (http is for a twin on this machine)")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_server(mode: object, base_url: str) -> bool:
    """A loopback address is a twin's, which is the cloud unless it is said."""
    host = urlsplit(base_url.strip()).hostname or ""
    cloud = host == "circleci.com" or host.endswith(".circleci.com") or _is_loopback(host)
    return mode == "server" or (mode == "auto" and not cloud)


def _is_glob(slug: str) -> bool:
    return any(char in slug for char in "*?[")
