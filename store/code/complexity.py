"""Cyclomatic complexity of Python's functions and classes, by radon."""

import threading
import warnings
from typing import Any

from radon.visitors import ComplexityVisitor

# Python parses at some hundred KB a second in here.
_MAX_BYTES = 1 << 18

# Python warns of odd literals while it parses, and filters of warnings are one for all threads.
_FILTERS = threading.Lock()


def complexities(source: bytes) -> dict[int, int]:
    """By the line that a `def` or a `class` is in. Empty for what this version of Python cannot parse."""
    if len(source) > _MAX_BYTES:
        return {}
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            visitor = ComplexityVisitor.from_code(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[int, int] = {}
    stack: list[Any] = [*visitor.functions, *visitor.classes]
    while stack:
        block = stack.pop()
        found[block.lineno] = getattr(block, "complexity", 0)
        for name in ("closures", "methods", "inner_classes"):
            stack += getattr(block, name, ())
    return found
