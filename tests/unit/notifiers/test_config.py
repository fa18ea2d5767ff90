"""What notifiers over HTTP let people configure."""

import pytest
from pydantic import ValidationError

from headgate.notifiers._config import header_key
from headgate.notifiers.alertmanager import AlertmanagerConfig
from headgate.notifiers.datadog_event import DatadogEventConfig
from headgate.notifiers.github import GitHubConfig
from headgate.notifiers.slack import SlackConfig
from headgate.notifiers.webhook import WebhookConfig


@pytest.mark.parametrize("value", ["hüter", "a\x07b", "a\r\nX-B: b"])
@pytest.mark.parametrize(
    ("config", "key", "more"),
    [
        (WebhookConfig, "bearer_token", {"url": "http://h"}),
        (AlertmanagerConfig, "bearer_token", {"urls": ("http://h",)}),
        (AlertmanagerConfig, "tenant", {"urls": ("http://h",)}),
        (SlackConfig, "token", {"channel": "#ci"}),
        (GitHubConfig, "token", {"repository": "acme/web"}),
        (DatadogEventConfig, "api_key", {}),
    ],
)
def test_what_no_header_takes_is_refused(config, key, more, value):
    """When the file is read, with the key and without the value; printable ASCII is taken."""
    config(**{key: "k-1", **more})
    with pytest.raises(ValidationError, match=rf"(?s){key}.*printable ASCII") as caught:
        config(**{key: value, **more})
    assert value not in str(caught.value)


def test_a_header_that_cannot_be_sent_is_refused():
    """Of further headers, too, the value must be printable ASCII; the error names the header alone."""
    with pytest.raises(ValidationError, match="the value of X-Team is not printable ASCII") as caught:
        WebhookConfig(url="http://h", headers={"X-Team": "hüter"})
    assert "hüter" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("digest:weekly 50%:1795000000000", "digest:weekly 50%:1795000000000"),
        ("digest:wöchentlich:1", "digest:w%C3%B6chentlich:1"),
        ("digest:a\nb:1", "digest:a%0Ab:1"),
    ],
)
def test_a_key_fits_in_a_header(key, header):
    """Printable ASCII stays as it is, so that receivers know keys of old again."""
    assert header == header_key(key)
