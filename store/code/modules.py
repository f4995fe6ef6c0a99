"""Which module a file is, by its path, and which module of the repository an import means."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable

#: Parts of a path that a module may be found by: deeper ones than this are found by the rest of their path.
MAX_SUFFIX_PARTS = 12

_SCRIPT_SUFFIXES = (".d.ts", ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
#: Folders that sources are below by convention, and that no import names.
_SOURCE_ROOTS = frozenset({"", "src", "lib", "Lib", "python"})
_GO_STANDARD_NAMES = (
    "archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag "
    "fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime "
    "slices sort strconv strings structs sync syscall testing text time unicode unique unsafe weak"
)
_GO_STANDARD = frozenset(_GO_STANDARD_NAMES.split())


def folder_of(path: str) -> str:
    """The folder that a file is in; empty at the top."""
    return path.rpartition("/")[0]


def stem_of(path: str) -> str:
    """A path without its suffix."""
    for suffix in _SCRIPT_SUFFIXES:
        if path.endswith(suffix):
            return path[: -len(suffix)]
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def module_name(path: str, language: str, paths: set[str]) -> str:
    """What a file's module is called, with dots; empty where files are no modules."""
    name = _NAMES.get(language)
    return name(path, paths) if name else ""


def _python_name(path: str, paths: set[str]) -> str:
    folder, _, name = stem_of(path).rpartition("/")
    parts = [] if name == "__init__" and folder else [name]
    while folder and f"{folder}/__init__.py" in paths:
        folder, _, name = folder.rpartition("/")
        parts.append(name)
    return ".".join(reversed(parts))


def _script_name(path: str, paths: set[str]) -> str:
    del paths
    return stem_of(path).removesuffix("/index").replace("/", ".")


def _folder_name(path: str, paths: set[str]) -> str:
    del paths
    return folder_of(path).replace("/", ".")


def _java_name(path: str, paths: set[str]) -> str:
    del paths
    parts = folder_of(path).split("/")
    for root in ("java", "kotlin", "src"):
        if root in parts:
            parts = parts[len(parts) - parts[::-1].index(root) :]
            break
    return ".".join(parts)


def _rust_name(path: str, paths: set[str]) -> str:
    del paths
    return ".".join(rust_parts(path)) or "crate"


def rust_root(path: str) -> str:
    """The folder of the crate's sources: what `crate` means."""
    parts = folder_of(path).split("/")
    return "/".join(parts[: len(parts) - parts[::-1].index("src")]) if "src" in parts else ""


def rust_parts(path: str) -> list[str]:
    """The names of a file's module, from the root of its crate."""
    below = stem_of(path)[len(root) + 1 :] if (root := rust_root(path)) else stem_of(path)
    parts = below.split("/")
    if parts[-1] == "mod" or (len(parts) == 1 and parts[0] in ("lib", "main")):
        parts.pop()
    return parts


_NAMES: dict[str, Callable[[str, set[str]], str]] = {
    "python": _python_name,
    "javascript": _script_name,
    "typescript": _script_name,
    "tsx": _script_name,
    "go": _folder_name,
    "java": _java_name,
    "rust": _rust_name,
}


class ModuleFinder:
    """Finds what imports mean: paths of files, or of folders where a folder is a package."""

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        languages = dict(files)
        self._paths = set(languages)
        self._by_suffix: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, list[str]] = defaultdict(list)
        seen: set[str] = set()
        for path, language in languages.items():
            if language == "python":
                self._add(self._by_suffix, stem_of(path).removesuffix("/__init__"), path)
            elif language in ("go", "java") and (folder := folder_of(path)) not in seen:
                seen.add(folder)
                self._add(self._folders, folder, folder)

    @staticmethod
    def _add(index: dict[str, list[str]], stem: str, found: str) -> None:
        parts = stem.split("/")
        for first in range(max(0, len(parts) - MAX_SUFFIX_PARTS), len(parts)):
            index["/".join(parts[first:])].append(found)

    def python(self, module: str, importer: str) -> tuple[str, bool] | None:
        """The file of a module of Python as it is imported by a file, and whether that is sure."""
        if module.startswith("."):
            return self._relative(module, importer)
        inner = module.replace(".", "/")
        for root in self._roots(importer):
            if found := self._python_file(f"{root}/{inner}" if root else inner):
                return found, True
        found_paths = self._by_suffix.get(inner, [])
        if len(found_paths) != 1 or module.partition(".")[0] in sys.stdlib_module_names:
            return None
        # All of its path but a folder that holds sources by convention: else it may be somebody else's module.
        root = stem_of(found_paths[0]).removesuffix("/__init__")[: -len(inner)].rstrip("/")
        return found_paths[0], root in _SOURCE_ROOTS

    def package_of(self, module: str, importer: str) -> str:
        """A relative module in full, as far as folders say."""
        level = len(module) - len(module.lstrip("."))
        name = _python_name(importer, self._paths)
        parts = name.split(".") if name else []
        drop = level - 1 if importer.endswith("__init__.py") else level
        kept = parts[: max(0, len(parts) - drop)]
        return ".".join([*kept, module.lstrip(".")]).strip(".")

    def _relative(self, module: str, importer: str) -> tuple[str, bool] | None:
        folder = folder_of(importer)
        for _ in range(len(module) - len(module.lstrip(".")) - 1):
            folder = folder_of(folder)
        inner = module.lstrip(".").replace(".", "/")
        found = self._python_file("/".join(part for part in (folder, inner) if part))
        return (found, True) if found else None

    def _python_file(self, stem: str) -> str | None:
        tries = (f"{stem}/__init__.py", f"{stem}.py", f"{stem}.pyi") if stem else ("__init__.py",)
        return next((path for path in tries if path in self._paths), None)

    def _roots(self, importer: str) -> list[str]:
        """Folders that an absolute import of a file begins at: above its package, then the usual ones."""
        folder = folder_of(importer)
        while folder and f"{folder}/__init__.py" in self._paths:
            folder = folder_of(folder)
        return list(dict.fromkeys((folder, "", "src")))

    def script(self, module: str, importer: str) -> tuple[str, bool] | None:
        """The file of a module of JavaScript or TypeScript: of those that begin with a dot."""
        if not module.startswith("."):
            return None
        parts = folder_of(importer).split("/") if "/" in importer else []
        for part in module.split("/"):
            if part == "..":
                if not parts:
                    return None
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        stem = "/".join(parts)
        stems = (stem, stem_of(stem)) if stem.endswith(_SCRIPT_SUFFIXES) else (stem,)
        tries = [stem, *(f"{each}{suffix}" for each in stems for suffix in _SCRIPT_SUFFIXES)]
        tries += [f"{stem}/index{suffix}" for suffix in _SCRIPT_SUFFIXES]
        return next(((path, True) for path in tries if path in self._paths), None)

    def go(self, module: str) -> tuple[str, bool] | None:
        """The folder of a package of Go: the one that shares most of the end of its path."""
        parts = module.split("/")
        if parts[0] in _GO_STANDARD:
            return None
        for first in range(len(parts)):
            found = self._folders.get("/".join(parts[first:]), [])
            if len(found) == 1:
                return found[0], found[0].count("/") + 1 == len(parts) - first
            if found:
                return None
        return None

    def java(self, package: str) -> tuple[str, bool] | None:
        """The folder of a package of Java."""
        found = self._folders.get(package.replace(".", "/"), [])
        return (found[0], len(found) == 1) if found else None

    def rust(self, parts: list[str], importer: str) -> tuple[str, bool] | None:
        """The file of a module of Rust, by its names from the root of the crate."""
        root = rust_root(importer)
        stem = "/".join(part for part in (root, *parts) if part)
        tries = (
            [f"{stem}.rs", f"{stem}/mod.rs"] if parts else [f"{stem}/lib.rs", f"{stem}/main.rs", "lib.rs", "main.rs"]
        )
        return next(((path, True) for path in tries if path in self._paths), None)

    def header(self, written: str, importer: str) -> tuple[str, bool] | None:
        """The file of an `#include`: beside the file, else below a folder of the repository's top."""
        folder = folder_of(importer)
        for root in (folder, "", "include", "src"):
            path = f"{root}/{written}" if root else written
            if path in self._paths:
                return path, True
        return None
