"""The core as a whole: complete in itself, on the oldest Python that it promises."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path

import pytest_mcast
from pytest_mcast import core

from . import support

CORE = Path(core.__file__).parent
MODULES = sorted(CORE.glob("*.py"))
# The package itself must be importable wherever the core is.
FIRST_IMPORTED = [CORE.parent / "__init__.py", CORE.parent / "__main__.py"]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))


def imports(path: Path) -> set[str]:
    """What a module imports, anywhere in it; a relative import with its dots."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def in_standard_library(name: str) -> bool:
    top = name.partition(".")[0]
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED") or ""]
    return top in sys.builtin_module_names or PathFinder.find_spec(top, folders) is not None


def public_names(path: Path) -> list[str]:
    """What a module defines at its top level without underscore, or imports there if it is the package."""
    names: list[str] = []
    for node in parsed(path).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.extend(target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom) and node.level and path.name == "__init__.py":
            names.extend(alias.asname or alias.name for alias in node.names)
    return [name for name in names if not name.startswith("_")]


def declared_names(path: Path) -> list[str]:
    name = core.__name__ if path.name == "__init__.py" else f"{core.__name__}.{path.stem}"
    return list(importlib.import_module(name).__all__)


def in_sorting_order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


class Imports(support.CoreTestCase):
    def test_there_are_modules_to_look_at(self) -> None:
        self.assertGreater(len(MODULES), 10)

    def test_nothing_outside_the_standard_library_is_imported(self) -> None:
        for path in MODULES:
            with self.subTest(path.name):
                absolute = {name for name in imports(path) if not name.startswith(".")}
                self.assertEqual({name for name in absolute if not in_standard_library(name)}, set())

    def test_nothing_of_the_rest_of_the_package_is_imported(self) -> None:
        for path in MODULES:
            with self.subTest(path.name):
                self.assertEqual({name for name in imports(path) if name.startswith("..")}, set())

    def test_the_core_comes_alone_on_a_bare_python(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(CORE.parent.parent)!r}); import pytest_mcast.core; "
            "print(*sorted(name for name in sys.modules if name.startswith('pytest_mcast.')))"
        )
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "error", "-c", code], stdout=subprocess.PIPE, check=True, timeout=60
        )
        foreign = [name for name in run.stdout.decode().split() if not (name + ".").startswith("pytest_mcast.core.")]
        self.assertEqual(foreign, [])

    def test_the_package_gives_the_names_of_the_core(self) -> None:
        for name in set(pytest_mcast.__all__) & set(core.__all__):
            with self.subTest(name):
                self.assertIs(getattr(pytest_mcast, name), getattr(core, name))


class Syntax(support.CoreTestCase):
    def test_no_syntax_is_newer_than_python_39(self) -> None:
        for path in MODULES + FIRST_IMPORTED:
            with self.subTest(path.name):
                parsed(path)

    def test_no_annotation_is_evaluated(self) -> None:
        for path in MODULES + FIRST_IMPORTED:
            with self.subTest(path.name):
                self.assertIn("__future__", imports(path))

    def test_no_dataclass_asks_for_what_python_39_lacks(self) -> None:
        for path in MODULES:
            calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
            decorators = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "dataclass"]
            keywords = {keyword.arg for call in decorators for keyword in call.keywords}
            with self.subTest(path.name):
                self.assertLessEqual(keywords, {"frozen", "eq", "order", "init", "repr", "unsafe_hash"})


class PublicNames(support.CoreTestCase):
    def test_all_is_complete(self) -> None:
        for path in MODULES:
            with self.subTest(path.name):
                self.assertEqual(sorted(declared_names(path)), sorted(public_names(path)))

    def test_all_is_sorted(self) -> None:
        for path in MODULES:
            with self.subTest(path.name):
                self.assertEqual(declared_names(path), sorted(declared_names(path), key=in_sorting_order))
