"""The layers of the package: imports go downwards only, and nothing heavy is imported early."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_mcast

PACKAGE = Path(pytest_mcast.__file__).parent
# From the top to the bottom; a package imports itself and what is below it.
LAYERS = [
    "cli",
    "conformance",
    "plugin",
    "report",
    "scenarios",
    "catalogue",
    "cores",
    "packets",
    "doctor",
    "lab",
    "hosts",
    "documents",
    "evidence",
    "wire",
    "core",
]
MAY_IMPORT_PYTEST = {"plugin", "conformance"}
HEAVY = {"scapy", "ruamel", "jsonschema", "jinja2", "asyncio", "execnet"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Yield the full names of what a module imports, not counting what is for type checkers only."""
    package = ["pytest_mcast", *path.relative_to(PACKAGE).parent.parts]

    def walk(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and only_at_import:
                continue
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                yield from (
                    [f"{module}.{alias.name}" for alias in node.names] if module == "pytest_mcast" else [module]
                )
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from walk(getattr(node, field, []))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")).body)


def _layer(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "pytest_mcast" and len(parts) > 1 and parts[1] in LAYERS else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0]
    if own not in LAYERS:
        assert len(path.relative_to(PACKAGE).parts) == 1, f"{own} is not a known layer"
        return
    imported = {layer for name in _imports(path) if (layer := _layer(name))}
    above = {layer for layer in imported if LAYERS.index(layer) < LAYERS.index(own)}
    assert not above
    if own not in MAY_IMPORT_PYTEST:
        assert not {name for name in _imports(path) if name.split(".")[0] in ("pytest", "_pytest", "xdist")}


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda path: path.name)
def test_core_is_standard_library_only(path: Path) -> None:
    outside = {
        name
        for name in _imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("pytest_mcast.core")
    }
    assert not outside


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_heavy_is_imported_early(path: Path) -> None:
    assert not HEAVY & {name.split(".")[0] for name in _imports(path, only_at_import=True)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_pytest(path: Path) -> None:
    assert not {name for name in _imports(path) if name.split(".")[0] == "_pytest"}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.name not in ("__main__.py", "launch.py")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_public_names_are_sorted_and_complete(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(["pytest_mcast", *(part for part in parts if part != "__init__")])
    module = importlib.import_module(name)
    names = module.__all__
    # As ruff sorts them: constants, classes, then the rest.
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[:1].isupper(), n)), name
    assert all(getattr(module, each) is not None for each in names)
    defined = {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    assert defined <= set(names)
