"""JavaScript, with JSX."""

import tree_sitter_javascript

from store.code.languages.language import Language

_FUNCTIONS = """
  (arrow_function parameters: (_) @parameters body: (_) @body)
  (arrow_function parameter: (_) @parameters body: (_) @body)
  (function_expression parameters: (_) @parameters body: (_) @body)
  (generator_function parameters: (_) @parameters body: (_) @body)
"""

#: What is assigned to a name and makes it a function.
FUNCTION_VALUE = f"[{_FUNCTIONS}]"

# What takes a function and gives back the same, but for when it is called: `const Row = memo(({ upload }) => …)`.
_WRAPPED = f"""(call_expression function: (_) @wrapper arguments: (arguments "(" . [
  {_FUNCTIONS}
  (call_expression function: (_) @wrapper arguments: (arguments "(" . {FUNCTION_VALUE}))
]))"""
_WRAPPERS = "(?:^|[.])(?:memo|forwardRef|observer|useCallback|debounce|throttle)$"

#: What TypeScript has too.
SHARED = f"""
(class_declaration) @class
(class name: (_)) @class
(function_declaration) @function
(generator_function_declaration) @function
(method_definition) @function

(variable_declarator name: (identifier) @name value: {FUNCTION_VALUE}) @function
(variable_declarator name: (identifier) @name value: {_WRAPPED} (#match? @wrapper "{_WRAPPERS}")) @function
(export_statement "default" @name value: {_WRAPPED} (#match? @wrapper "{_WRAPPERS}")) @function
(variable_declarator name: (identifier) @name value: (class !name body: (_) @body)) @class
(variable_declarator name: (identifier) value: (object)) @namespace
(pair key: [(property_identifier) (string)] @name value: {FUNCTION_VALUE}) @function

(assignment_expression left: (identifier) @name right: {FUNCTION_VALUE}) @function
(assignment_expression left: (member_expression property: (_) @name) right: {FUNCTION_VALUE}) @function
(assignment_expression left: (member_expression property: (_) @name) right: (class !name body: (_) @body)) @class
(assignment_expression
  left: (member_expression
    object: (member_expression object: (identifier) @receiver property: (_) @prototype)
    property: (_) @name)
  right: {FUNCTION_VALUE}
  (#eq? @prototype "prototype")) @function

(export_statement "default" @name value: {FUNCTION_VALUE}) @function
(export_statement "default" @name value: (class !name body: (_) @body)) @class

[(export_statement) (lexical_declaration) (variable_declaration) (expression_statement)] @outer
(decorator) @mark
(comment) @leading
(ERROR) @error
"""

JAVASCRIPT = Language(
    name="javascript",
    suffixes=(".js", ".jsx", ".mjs", ".cjs"),
    grammar=tree_sitter_javascript.language,
    interpreters=("node", "deno", "bun"),
    query=SHARED
    + f"""
    (field_definition property: (_) @name value: {FUNCTION_VALUE}) @function
    (class_heritage (_) @base)
    """,
)
