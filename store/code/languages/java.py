"""Java."""

import tree_sitter_java

from store.code.languages.language import Language

JAVA = Language(
    name="java",
    suffixes=(".java",),
    grammar=tree_sitter_java.language,
    query="""
    [
      (class_declaration)
      (interface_declaration)
      (enum_declaration)
      (record_declaration)
      (annotation_type_declaration)
      (enum_constant body: (_))
    ] @class
    [
      (method_declaration)
      (constructor_declaration)
      (compact_constructor_declaration)
      (annotation_type_element_declaration)
    ] @function
    (variable_declarator name: (_) @name value: (lambda_expression
      parameters: (_) @parameters body: (_) @body)) @function
    [(field_declaration) (local_variable_declaration)] @outer
    [(marker_annotation) (annotation)] @mark
    [(line_comment) (block_comment)] @leading
    (superclass (_) @base)
    (super_interfaces (type_list (_) @base))
    (extends_interfaces (type_list (_) @base))
    (ERROR) @error
    """,
)
