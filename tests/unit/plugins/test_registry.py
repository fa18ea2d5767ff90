"""Finding plugins: ours by module, others' by entry point, and nothing broken takes anything down."""

import sys
from importlib.metadata import EntryPoint

import pytest

from headgate.core.clock import ManualClock
from headgate.core.errors import ConfigError
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, Plugin
from headgate.plugins import PluginConfig, build_plugin, load_plugins

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "test")
GOOD = """
from headgate.core.ports import Plugin
from headgate.plugins import PluginConfig
PLUGINS = (Plugin(kind="sink", name="{name}", config=PluginConfig, build=lambda name, config, context: name),)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of sinks that tests fill; returns its name and a function that writes a module."""
    root = tmp_path / "made_up_sinks"
    root.mkdir()
    (root / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield root
    for name in [name for name in sys.modules if name.startswith(("made_up_sinks", "third_party"))]:
        del sys.modules[name]


def _load(*points):
    return load_plugins({"made_up_sinks": "sink"}, points)


def _point(value, name="x", group="made_up_sinks"):
    return EntryPoint(name, value, group)


def test_modules_are_scanned(package):
    """Each module with PLUGINS is found; helpers without and private ones are passed over in silence."""
    (package / "one.py").write_text(GOOD.format(name="one"))
    (package / "two.py").write_text(GOOD.format(name="two"))
    (package / "helper.py").write_text("x = 1")
    (package / "_private.py").write_text("raise RuntimeError")
    registry = _load()
    assert (registry.names("sink"), registry.names("source"), registry.broken) == (("one", "two"), (), ())
    assert build_plugin(registry.find("sink", "one"), "mine", PluginConfig(), CONTEXT) == "mine"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import no_such_module_here", "ModuleNotFoundError"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("this is no python", "SyntaxError"),
        ("PLUGINS = ('x',)", "offers a str"),
        ("PLUGINS = 5", "offers a int"),
        (GOOD.format(name="odd").replace('"sink"', '"source"'), "is a source"),
        (GOOD.format(name="odd").replace("config=PluginConfig", "config=dict"), "no pydantic model"),
        (GOOD.format(name="odd").replace("build=lambda name, config, context: name", "build=5"), "no callable build"),
    ],
)
@pytest.mark.parametrize("place", ["module", "entry point"])
def test_broken_plugins_are_reported_and_harm_no_other(package, tmp_path, place, code, problem):
    """Whatever a module does, it is one line with its origin, and the others are there."""
    (package / "good.py").write_text(GOOD.format(name="good"))
    if place == "module":
        (package / "bad.py").write_text(code)
        registry = _load()
    else:
        (tmp_path / "third_party.py").write_text(code)
        registry = _load(_point("third_party"))
    assert registry.names("sink") == ("good",)
    (broken,) = registry.broken
    assert problem in broken.problem
    assert ("bad" if place == "module" else "third_party") in broken.origin


@pytest.mark.parametrize("value", ["third_party", "third_party:PLUGINS", "third_party:ONE"])
def test_entry_points_are_found(package, tmp_path, value):
    """An entry point names a module, its PLUGINS, or one plugin."""
    (tmp_path / "third_party.py").write_text(GOOD.format(name="theirs") + "\nONE = PLUGINS[0]\n")
    registry = _load(_point(value), _point("third_party", group="somebody.elses"))
    assert (registry.names("sink"), registry.broken) == (("theirs",), ())


def test_nobody_takes_a_name_that_exists(package, tmp_path):
    """Our own plugin stays; the other is reported."""
    (package / "one.py").write_text(GOOD.format(name="one"))
    (tmp_path / "third_party.py").write_text(GOOD.format(name="one"))
    registry = _load(_point("third_party"))
    assert "exists already" in registry.broken[0].problem
    assert registry.find("sink", "one").build.__module__ == "made_up_sinks.one"


def test_unknown_name_gets_a_hint(package):
    """The nearest name, else all names, and what is broken."""
    (package / "loki.py").write_text(GOOD.format(name="loki"))
    (package / "bad.py").write_text("raise RuntimeError('boom')")
    registry = _load()
    with pytest.raises(ConfigError, match=r"did you mean loki\?.*bad is broken: RuntimeError: boom"):
        registry.find("sink", "lokki")
    with pytest.raises(ConfigError, match="known: loki"):
        registry.find("sink", "zzz")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'elastic'"), r"install headgate\[es\]"),
        (ZeroDivisionError("x"), "cannot be built: ZeroDivisionError: x"),
        (ConfigError("url is missing"), "^url is missing$"),
    ],
)
def test_building_that_fails_is_a_config_error(error, said):
    """The message names the plugin and what to install."""

    def build(name, config, context):
        raise error

    plugin = Plugin(kind="sink", name="es", config=PluginConfig, build=build, extra="es")
    with pytest.raises(ConfigError, match=said):
        build_plugin(plugin, "search", PluginConfig(), CONTEXT)


def test_our_own_plugins_are_whole():
    """Nothing of ours is broken, and CircleCI is there."""
    registry = load_plugins()
    assert registry.broken == ()
    assert "circleci" in registry.names("source")


def test_package_that_is_missing_is_no_fault():
    """A kind without built-in plugins has no package."""
    assert load_plugins({"headgate.no_such_kind": "detector"}, ()).broken == ()
