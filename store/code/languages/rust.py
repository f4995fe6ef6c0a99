"""Rust: methods stand in blocks that implement their types."""

import tree_sitter_rust

from store.code.languages.language import Language

RUST = Language(
    name="rust",
    suffixes=(".rs",),
    grammar=tree_sitter_rust.language,
    separator="::",
    query="""
    [(struct_item) (enum_item) (union_item) (trait_item) (type_item)] @class
    (impl_item type: (_) @name) @implementation
    (mod_item body: (_)) @module
    [(function_item) (function_signature_item) (macro_definition)] @function
    (macro_definition ["{" "(" "["] @body) @function
    (let_declaration pattern: (identifier) @name value: (closure_expression
      parameters: (_) @parameters body: (_) @body)) @function
    (attribute_item) @leading
    (attribute_item) @mark
    [(line_comment) (block_comment)] @leading
    (trait_bounds (_) @base)
    (ERROR) @error
    """,
)
