"""What people may write under a CircleCI source."""

import pytest
from pydantic import ValidationError

from headgate.sources.circleci import CircleCIConfig


def test_design_example():
    """The documented example is taken as it is."""
    config = CircleCIConfig.model_validate(
        {
            "type": "circleci",
            "token": "t",
            "orgs": ["github/acme"],
            "projects": {"include": ["github/acme/*"], "exclude": []},
            "webhook": {"secrets": ["s"]},
            "poll": {"every": "60s", "initial": "24h"},
            "enrich": "batch",
            "budget": {"per_second": 10, "burst": 20},
        }
    )
    assert (config.orgs, config.projects.include) == (("gh/acme",), ("gh/acme/*",))
    assert (config.tenant, config.profile, config.explicit_projects) == ("circleci.com", "batch", ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"orgs": ["gh/acme"]}, "token is needed to poll"),
        ({"projects": {"include": ["gh/acme/web"]}}, "token is needed to poll"),
        ({"token": "t", "orgs": ["gh/acme/web"]}, "no organisation slug"),
        ({"token": "t", "orgs": ["acme"]}, "no organisation slug"),
        ({"token": "t", "orgs": ["gh/.."]}, "no organisation slug"),
        ({"token": "t", "base_url": "ci.example"}, "http or https URL"),
        ({"token": "t", "base_url": "https://user:pw@ci.example"}, "without credentials"),
        ({"token": "t", "personal": {"email": "hash"}}, "hash_key is needed"),
        ({"token": "t", "budget": {"per_second": 0}}, "greater than 0"),
        ({"token": "t", "poll": {"every": 5.5}}, "not a duration"),
        ({"token": "  "}, "is blank"),
        ({"tokn": "t"}, "Extra inputs"),
    ],
)
def test_wrong_configuration(given, said):
    """Each mistake is named."""
    with pytest.raises(ValidationError, match=said):
        CircleCIConfig.model_validate(given)


def test_webhooks_alone_need_no_token():
    """Without organisations and projects, or with polling off, no token is needed, and nothing is enriched."""
    assert CircleCIConfig(webhook={"secrets": ["s"]}).profile == "none"
    assert CircleCIConfig(orgs=["gh/acme"], poll={"enabled": False}).profile == "none"


def test_server_is_its_own_tenant():
    """Facts of a Server installation are kept under its host, or under the name that is set."""
    assert CircleCIConfig(base_url="https://ci.example:8443/api/v2/").tenant == "ci.example"
    assert CircleCIConfig(base_url="https://ci.example:8443/api/v2/").base_url == "https://ci.example:8443"
    assert CircleCIConfig(base_url="http://127.0.0.1:5", host="circleci.com").tenant == "circleci.com"


@pytest.mark.parametrize(
    ("server", "fields"),
    [
        (False, {}),
        (False, {"base_url": "https://eu.circleci.com"}),
        (False, {"base_url": "http://127.0.0.1:5"}),
        (True, {"base_url": "http://127.0.0.1:5", "mode": "server"}),
        (True, {"base_url": "https://ci.example/api/v2"}),
        (False, {"base_url": "https://ci.example", "mode": "cloud"}),
        (True, {"base_url": "https://notcircleci.com"}),
    ],
)
def test_a_server_is_told_by_its_host_or_by_mode(server, fields):
    """Its links lead to itself, unless `app_url` is set."""
    config = CircleCIConfig.model_validate(fields)
    assert server == config.is_server
    assert config.app_url == ("https://app.circleci.com" if not server else config.base_url)
    assert "https://other" == CircleCIConfig.model_validate(fields | {"app_url": "https://other"}).app_url


def test_insights_may_be_off_and_ask_once_each():
    """`off` as people write it and as YAML reads it, shown as `off` again; a part named twice is one."""
    for off in ("off", False):
        config = CircleCIConfig.model_validate({"insights": {"every": off, "parts": ["flaky", "org", "flaky"]}})
        assert (0, ("flaky", "org")) == (config.insights.every, config.insights.parts)
        assert "off" == config.model_dump(mode="json")["insights"]["every"]
    assert "1d" == CircleCIConfig().model_dump(mode="json")["insights"]["every"]


@pytest.mark.parametrize("given", [{"every": "often"}, {"every": True}, {"windows": []}, {"parts": ["all"]}])
def test_insights_that_cannot_be(given):
    """Words that CircleCI or we do not know."""
    with pytest.raises(ValidationError):
        CircleCIConfig.model_validate({"insights": given})
