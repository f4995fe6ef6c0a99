"""C and C++. Names are within declarators. What is only declared is no definition: prototypes, methods without body."""

import re

import tree_sitter_c
import tree_sitter_cpp

from store.code.languages.language import Language

_SHARED = """
(function_definition) @function
[
  (struct_specifier name: (_) body: (_))
  (union_specifier name: (_) body: (_))
  (enum_specifier name: (_) body: (_))
] @class
(type_definition
  type: [
    (struct_specifier !name body: (_) @body)
    (union_specifier !name body: (_) @body)
    (enum_specifier !name body: (_) @body)
  ]
  declarator: (type_identifier) @name) @class
(type_definition
  type: [(primitive_type) (sized_type_specifier) (type_identifier) (struct_specifier !body) (union_specifier !body)]
  declarator: (_) @name) @class
(preproc_function_def value: (_)? @body) @function
[(type_definition) (declaration)] @outer
(comment) @leading
(ERROR) @error
"""

C = Language(name="c", suffixes=(".c", ".h"), grammar=tree_sitter_c.language, query=_SHARED)

CPP = Language(
    name="cpp",
    suffixes=(".cc", ".cpp", ".cxx", ".c++", ".hh", ".hpp", ".hxx", ".h++", ".ipp", ".inl", ".tpp", ".cu", ".cuh"),
    grammar=tree_sitter_cpp.language,
    separator="::",
    query=_SHARED
    + """
    (class_specifier name: (_) body: (_)) @class
    (function_definition
      type: [(class_specifier !body) (struct_specifier !body)] declarator: (identifier) @name body: (_) @body) @class
    (alias_declaration type: (_) @body) @class
    (concept_definition) @class
    (namespace_definition name: (_)) @namespace
    (init_declarator declarator: (identifier) @name value: (lambda_expression
      declarator: (_ parameters: (_) @parameters)? body: (_) @body)) @function
    (template_declaration) @outer
    (attribute_declaration) @mark
    (base_class_clause [(type_identifier) (qualified_identifier) (template_type)] @base)
    """,
)

_ONLY_CPP = re.compile(
    rb"^[ \t]*(?:class\s+\w|namespace\b|template\s*<|using\s+[\w:]|(?:public|private|protected)\s*:|constexpr\b"
    rb"|#\s*include\s*<(?:string|vector|map|memory|utility|functional|algorithm|cstd\w+|c?string_view)>)",
    re.MULTILINE,
)


def header_language(content: bytes) -> Language:
    """What a `.h` is written in: C, unless some line of it could only be C++."""
    return CPP if _ONLY_CPP.search(content) else C
