"""Metrics that people define by a formula over others: `credits / deployments`. Parsed once, refused when wrong.

Invariant: a formula that was accepted never fails and its cost is bounded: it has numbers, names of metrics, `+ - * /`,
parentheses and a few functions, no powers, no attributes, no texts.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from simpleeval import SimpleEval

from headgate.insights.catalogue import Catalogue
from headgate.insights.metric import Format, FromFormula, MetricDef

__all__ = ["KPI_ID", "make_kpi", "parse_formula"]

KPI_ID = re.compile(r"[a-z][a-z0-9_]{0,59}")
# Far more than a formula needs that people can read, and nothing that takes noticeable time.
_LONGEST, _MOST_NODES, _DEEPEST = 500, 100, 20
_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"abs": abs, "max": max, "min": min}
# How many arguments each takes, at least and at most.
_ARGUMENTS: Mapping[str, tuple[int, int]] = {"abs": (1, 1), "max": (2, 10), "min": (2, 10)}


def make_kpi(
    kpi_id: str, formula: str, *, form: Format, unit: str, doc: str, higher_is_worse: bool, catalogue: Catalogue
) -> MetricDef:
    """The metric of a formula. Its dimensions are those that all its inputs have. Raises ValueError."""
    if not KPI_ID.fullmatch(kpi_id):
        raise ValueError(f"{kpi_id!r} is no name of a KPI: lower case, digits and _, a letter first, at most 60")
    if kpi_id in catalogue.names or kpi_id in catalogue or kpi_id in _FUNCTIONS:
        raise ValueError(f"{kpi_id!r} is the name of a metric or a function; take another")
    inputs, of = parse_formula(formula, catalogue)
    first, *others = inputs.values()
    return MetricDef(
        id=kpi_id,
        unit=unit,
        format=form,
        doc=doc,
        formula=formula,
        inputs=tuple(inputs),
        counts="What its inputs count. No value where one of them has none, or where it divides by zero.",
        family=first.family,
        dimensions=tuple(name for name in first.dimensions if all(name in one.dimensions for one in others)),
        compute=FromFormula(inputs, of),
        higher_is_worse=higher_is_worse,
    )


def parse_formula(
    formula: str, catalogue: Catalogue
) -> tuple[Mapping[str, MetricDef], Callable[[Mapping[str, float]], float | None]]:
    """The metrics of a formula by name, and what computes it. Raises ValueError that says what is wrong with it."""
    if len(formula) > _LONGEST:
        raise ValueError(f"a formula has at most {_LONGEST} characters, this one has {len(formula)}")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise ValueError(f"not a formula: {why}") from error
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise ValueError(f"a formula has at most {_MOST_NODES} parts; split it")
    names: dict[str, None] = {}
    _check(tree.body, names, 1)
    if not names:
        raise ValueError("a formula needs at least one metric")
    inputs = {name: _metric(name, catalogue.names) for name in names}
    evaluator = SimpleEval(operators=dict(_OPERATORS), functions=dict(_FUNCTIONS))

    def of(values: Mapping[str, float]) -> float | None:
        evaluator.names = dict(values)
        try:
            value = float(evaluator.eval(formula, previously_parsed=tree.body))
        except (ZeroDivisionError, OverflowError):
            return None
        return value if math.isfinite(value) else None

    return inputs, of


def _metric(name: str, known: Mapping[str, MetricDef]) -> MetricDef:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
    raise ValueError(f"unknown metric {name!r}; {hint}")


def _check(node: ast.expr, names: dict[str, None], depth: int) -> None:
    """Refuse what is not a plain calculation; gathers the names that are used."""
    if depth > _DEEPEST:
        raise ValueError(f"a formula is nested at most {_DEEPEST} deep")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name(id=name):
            names[name] = None
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            _check(operand, names, depth + 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, names, depth + 1)
            _check(right, names, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, len(args))
            for argument in args:
                _check(argument, names, depth + 1)
        case _:
            raise ValueError(
                f"a formula has numbers, names of metrics, + - * / and {_listed(_FUNCTIONS)}; "
                f"`{ast.unparse(node)[:60]}` is something else"
            )


def _check_call(name: str, count: int) -> None:
    if name not in _FUNCTIONS:
        raise ValueError(f"unknown function {name!r}; known are {_listed(_FUNCTIONS)}")
    least, most = _ARGUMENTS[name]
    if not least <= count <= most:
        raise ValueError(f"{name} takes {least if least == most else f'{least} to {most}'} values, not {count}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
