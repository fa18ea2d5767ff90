"""KPIs and owners of the configuration: usable when read, refused with place and nearest name when not."""

from pathlib import Path

import pytest

from headgate.app.measuring import catalogue_of, classes_of, owners_of
from headgate.app.settings import Configuration, load
from headgate.core.errors import ConfigError
from headgate.plugins import Registry

HEAD = 'version: 1\nstore: {url: "sqlite:///tmp/h.db"}\n'


def read(tmp_path: Path, text: str) -> Configuration:
    """Read a file with these sections."""
    file = tmp_path / "headgate.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    return load(Registry({}), file=file, environ={})


def test_kpis_and_owners_are_used_as_written(tmp_path):
    """A KPI is a metric of the catalogue; teams follow from the entries."""
    settings = read(
        tmp_path,
        "kpis:\n  cost: {formula: credits / runs, format: credits}\nowners:\n- {match: {org: gh/acme}, team: acme}\n",
    ).settings
    metric = catalogue_of(settings.kpis).resolve("cost")
    assert (metric.format, metric.inputs) == ("credits", ("credits", "runs"))
    assert owners_of(settings.owners).team("gh/acme/web") == "acme"


def test_sizes_of_machines_are_used_as_written(tmp_path):
    """A class that is known stays among those that may replace it; others go by executor, or by what they say."""
    text = (
        "resource_classes:\n- {name: large, cpus: 4, ram_gb: 16, credits_per_minute: 18}\n"
        "- {name: acme/a, executor: machine, family: acme, cpus: 2, ram_gb: 4}\n"
        "- {name: acme/b, executor: machine, cpus: 2, ram_gb: 4}\n"
    )
    classes = classes_of(read(tmp_path, text).settings.resource_classes)
    assert (16, 18, "docker") == (
        (large := classes.find("docker", "large")).ram_gb,
        large.credits,
        large.family,
    )
    assert ("acme", None) == (classes.find("machine", "acme/a").family, classes.find("machine", "acme/a").credits)
    assert "machine" == classes.find("machine", "acme/b").family


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kpis:\n  cost:\n    formula: credits / rnus\n",
            "headgate.yaml:5: kpis.cost.formula: unknown metric 'rnus'; did you mean `runs`?",
        ),
        ("kpis:\n  cost: {formla: runs}\n", 'headgate.yaml:4: kpis.cost.formla: unknown key; did you mean "formula"?'),
        ("kpis:\n  runs: {formula: credits}\n", "headgate.yaml:3: kpis: 'runs' is the name of a metric or a function"),
        ("resource_classes:\n- {name: a, cpus: 0, ram_gb: 1}\n", "resource_classes"),
        (
            "owners:\n- {match: {branch: main}, team: a}\n",
            "owners match on org, project, workflow, job, not on 'branch'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, expected):
    """File, line, key, and the nearest name."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert any(expected in problem for problem in caught.value.problems), caught.value.problems
