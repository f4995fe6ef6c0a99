"""TypeScript, and TypeScript with JSX, which is a grammar of its own."""

from dataclasses import replace

import tree_sitter_typescript

from store.code.languages.javascript import FUNCTION_VALUE, SHARED
from store.code.languages.language import Language

TYPESCRIPT = Language(
    name="typescript",
    suffixes=(".ts", ".mts", ".cts"),
    grammar=tree_sitter_typescript.language_typescript,
    query=SHARED
    + f"""
    [
      (abstract_class_declaration)
      (interface_declaration)
      (enum_declaration)
      (type_alias_declaration value: (_) @body)
    ] @class
    [(function_signature) (method_signature) (abstract_method_signature)] @function
    [(internal_module) (module)] @module
    (public_field_definition name: (_) @name value: {FUNCTION_VALUE}) @function
    (ambient_declaration) @outer
    (class_body (decorator) @leading)
    (extends_clause value: (_) @base)
    (implements_clause (_) @base)
    (extends_type_clause type: (_) @base)
    """,
)

TSX = replace(TYPESCRIPT, name="tsx", suffixes=(".tsx",), grammar=tree_sitter_typescript.language_tsx)
