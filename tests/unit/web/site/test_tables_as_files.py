"""Every table that any page shows is a file too: a table or chart without a link below it is found here."""

import re
from pathlib import Path

import pytest

import headgate.web
from headgate.insights.tables import TABLES

FOLDER = Path(headgate.web.__file__).parent / "templates"
# Macros that draw a table wherever they are called, by what their calls are known by.
DRAWN = ("runs", "groups", "machines", "flakes", "entries", "table", "draw_chart", "draw_charts")
# Tables that are no file, each with the reason.
EXPLAINED = {
    ("parts.html", "chart"): "the values of a chart; whoever draws it links to them",
    ("report.html", "*"): "a report is a file itself",
    ("dora.html", "<caption>{{ view.source }}"): "what a published report says, no figure of ours",
    ("data.html", "entries"): "backups are in the trail, which is a file",
    ("live.html", "*"): "part of delivery.html, which links to all of them",
}


def text_of(name):
    return (FOLDER / name).read_text("utf-8")


def without_macros(text):
    """A template without what it only defines."""
    return re.sub(r"{%-? macro .*?endmacro -?%}", "", text, flags=re.DOTALL)


def shown(text):
    """Where tables and charts begin, and by what each is known."""
    found = [(match.start(), match[1]) for match in re.finditer(rf"{{{{ ({'|'.join(DRAWN)})\(", text)]
    tables = re.finditer(r"<table[^>]*>\s*(<caption[^>]*>[^<]*)", text)
    found += [(match.start(), match[1]) for match in tables]
    return sorted(found)


def is_explained(name, known):
    return any(name == page and (part == "*" or known.startswith(part)) for page, part in EXPLAINED)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.html")))
def test_every_table_of_a_page_has_a_link(name):
    """Below it, before the next section begins; or there is a reason why not."""
    text = without_macros(text_of(name))
    for at, known in shown(text):
        ends = [match.start() for match in re.finditer("<section", text) if match.start() > at]
        # Sections of one loop share the link after it.
        after = text[at : (ends[1] if name == "alerts.html" and len(ends) > 1 else ends[0]) if ends else len(text)]
        if name == "delivery.html":
            after = text[at:]
        assert "exports(" in after or is_explained(name, known), f"{name}: {known} has no link to a file"


def test_all_tables_are_found():
    """Each `<table` has a caption by which it is known, and is in a template or in a macro that is listed here."""
    for path in FOLDER.glob("*.html"):
        text = text_of(path.name)
        assert text.count("<table") == len(re.findall(r"<table[^>]*>\s*<caption", text)) or path.name == "report.html"
        for macro in re.findall(r"{% macro (\w+)\([^%]*%}(?:(?!endmacro).)*<table", text, flags=re.DOTALL):
            known = {"chart": "draw_chart", "charts": "draw_charts"}.get(macro, macro)
            assert known in DRAWN or path.name == "report.html", f"{path.name}: macro {macro} draws a table"


def test_links_lead_to_tables_and_all_tables_are_linked():
    """Each link names a table that there is; a table to which nothing leads is of no use to who reads pages.

    But for `query`, which has whatever somebody asks it.
    """
    linked = {
        one for path in FOLDER.glob("*.html") for one in re.findall(r'exports\(asked, "(\w+)"', text_of(path.name))
    }
    assert linked == set(TABLES) - {"query"}
