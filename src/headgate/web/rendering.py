"""The templates and what renders them.

Invariant: everything that came from outside is escaped, and there is no inline script or style.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from headgate.web.site.words import FILTERS

__all__ = ["HTMX_CONFIG", "Templates", "shared_templates"]

# htmx adds no style of its own, evaluates nothing and asks nobody but the daemon.
HTMX_CONFIG = (
    '{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true,"ignoreTitle":true,"historyCacheSize":0,'
    '"scrollIntoViewOnBoost":false}'
)


class Templates:
    """Renders templates by name. `version`: of Headgate, on every page."""

    def __init__(self, version: str) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(version=version, htmx_config=HTMX_CONFIG)

    def render(self, template: str, **values: Any) -> str:
        """A page, or a part of one."""
        return self._environment.get_template(template).render(**values)


@lru_cache(maxsize=1)
def shared_templates(version: str) -> Templates:
    """Those of this process: to compile the larger ones takes a tenth of a second each."""
    return Templates(version)
