"""Which rows does a --where keep? Comparisons of columns with numbers and words, joined by and, or, not; no code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable

import numpy as np

from fitting.errors import InputError

_COMPARE: dict[type[ast.cmpop], Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
EXAMPLE = "'flops < 1e21'"


def names_in(expression: str | None) -> set[str]:
    """The columns that a --where names; none where it cannot be read, which `rows_where` says."""
    try:
        tree = ast.parse(expression or "", mode="eval")
    except (SyntaxError, ValueError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def rows_where(table: dict[str, np.ndarray], expression: str, source: str) -> np.ndarray:
    """Mask of the rows for which e.g. "flops < 1e21 and excluded == 0" holds."""

    def value(node: ast.expr):
        if isinstance(node, ast.Name):
            if node.id not in table:
                raise InputError(f"--where names {node.id!r}; {source} has {', '.join(sorted(table))}")
            return table[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        raise InputError(f"--where {expression!r}: {ast.unparse(node)!r} is not allowed; use column names and numbers")

    def mask(node: ast.expr):
        if isinstance(node, ast.BoolOp):
            parts = [mask(part) for part in node.values]
            return np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~mask(node.operand)
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            terms = [value(term) for term in (node.left, *node.comparators)]
            pairs = zip(node.ops, terms, terms[1:], strict=False)
            return np.logical_and.reduce([_COMPARE[type(op)](left, right) for op, left, right in pairs])
        raise InputError(f"--where {expression!r}: write comparisons joined by and/or/not, such as {EXAMPLE}")

    try:
        tree = ast.parse(expression, mode="eval").body
        keep = np.asarray(mask(tree), dtype=bool)
    except (SyntaxError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--where {expression!r} cannot be read ({error}); write e.g. {EXAMPLE}") from None
    rows = len(next(iter(table.values())))
    return np.broadcast_to(keep, (rows,)) if keep.ndim == 0 else keep
