"""Go: methods stand outside of their types."""

import tree_sitter_go

from store.code.languages.language import Language

GO = Language(
    name="go",
    suffixes=(".go",),
    grammar=tree_sitter_go.language,
    separator=".",
    query="""
    (type_spec) @class
    (type_spec type: (struct_type (field_declaration_list) @body)) @class
    (type_spec type: (interface_type "{" @body)) @class
    (type_alias) @class
    (function_declaration) @function
    (method_declaration) @function
    (method_declaration receiver: (parameter_list (parameter_declaration type: [
      (type_identifier) @receiver
      (generic_type type: (type_identifier) @receiver)
      (pointer_type (type_identifier) @receiver)
      (pointer_type (generic_type type: (type_identifier) @receiver))
    ]))) @function
    (method_elem) @function
    (var_spec name: (identifier) @name value: (expression_list . (func_literal
      parameters: (_) @parameters body: (_) @body) .)) @function
    (short_var_declaration left: (expression_list . (identifier) @name .) right: (expression_list . (func_literal
      parameters: (_) @parameters body: (_) @body) .)) @function
    [(type_declaration) (var_declaration)] @outer
    (comment) @leading
    (field_declaration !name type: (_) @base)
    (interface_type (type_elem . [(type_identifier) (qualified_type)] @base .))
    (ERROR) @error
    """,
)
