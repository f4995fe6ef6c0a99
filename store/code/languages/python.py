"""Python."""

import tree_sitter_python

from store.code.languages.language import Language

PYTHON = Language(
    name="python",
    suffixes=(".py", ".pyi", ".pyw"),
    grammar=tree_sitter_python.language,
    interpreters=("python",),
    query="""
    (class_definition) @class
    (function_definition) @function
    (assignment left: (identifier) @name right: (lambda parameters: (_)? @parameters body: (_) @body)) @function
    (decorated_definition) @outer
    (decorator) @mark
    (comment) @leading
    (class_definition superclasses: (argument_list
      [(identifier) (attribute) (subscript) (call)] @base))
    (module . (expression_statement . (string) @docstring))
    (class_definition body: (block . (expression_statement . (string) @docstring)))
    (function_definition body: (block . (expression_statement . (string) @docstring)))
    (ERROR) @error
    """,
)
