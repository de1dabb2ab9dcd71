"""The arrows between the rooms (CONTRIBUTING), read from the imports themselves; and what a start may load.

Imports are collected by ast wherever they stand: at the top, within a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("regconv", "storage", "index", "ui")
MAY_USE = {
    "regconv": set(),
    "storage": set(),
    "index": {"regconv", "storage"},
    "ui": {"regconv", "index"},
    "app": {"regconv", "storage", "index", "ui"},  # the entry point wires the rooms together
}
FRAMEWORKS = {"torch": "torch", "flax": "jax", "tensorflow": "tensorflow"}  # room below regconv/ -> its package
ONLY_FOR_TESTS = {"transformers", "timm", "pytest", "hypothesis", "playwright", "tests", "bench"}


def sources(room: str) -> list[Path]:
    """A room's files."""
    return [ROOT / "app.py"] if room == "app" else sorted((ROOT / room).rglob("*.py"))


PRODUCT = [path for room in (*ROOMS, "app") for path in sources(room)]


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything that a file imports: for `from a import b` both a and a.b."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (
                arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            )


def rooms_used(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)} & {*ROOMS, "app"}


def test_every_room_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in PRODUCT} == set(MAY_USE)
    assert "storage" in rooms_used(ROOT / "index" / "library.py")  # the reading of imports itself works


@pytest.mark.parametrize("room", MAY_USE)
def test_the_arrows_point_one_way(room: str) -> None:
    wrong = {str(path.relative_to(ROOT)): rooms_used(path) - MAY_USE[room] - {room} for path in sources(room)}
    assert {name: used for name, used in wrong.items() if used} == {}


@pytest.mark.parametrize("room", FRAMEWORKS)
def test_frameworks_do_not_know_each_other(room: str) -> None:
    others = {name for other, package in FRAMEWORKS.items() if other != room for name in (package, f"regconv.{other}")}
    if room != "flax":
        others |= {"flax"}
    if room != "tensorflow":
        others |= {"keras"}
    for path in sources(f"regconv/{room}"):
        used = {name for name in imports(path) if any(f"{name}.".startswith(f"{other}.") for other in others)}
        assert not used, f"{path.relative_to(ROOT)} imports {used}"


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_product_needs_nothing_that_is_there_for_tests(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & ONLY_FOR_TESTS == set()


def test_only_storage_speaks_sql_and_only_two_files_faiss() -> None:
    users = {
        package: {
            str(path.relative_to(ROOT))
            for path in PRODUCT
            if any(name.split(".")[0] in package.split("/") for name in imports(path))
        }
        for package in ("sqlalchemy/alembic", "faiss", "gradio")
    }
    assert all(name.startswith("storage/") for name in users["sqlalchemy/alembic"])
    assert users["faiss"] == {"index/vectors.py", "index/gpu.py"}
    assert all(name.startswith("ui/") for name in users["gradio"])


@pytest.mark.parametrize("room", ROOMS)
def test_libraries_never_print_nor_exit(room: str) -> None:
    for path in sources(room):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "sys.exit", "exit", "quit"), f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]


def test_tests_have_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == [], "tests/regconv would shadow the real package"


HEAVY = ("torch", "jax", "flax", "tensorflow", "keras", "transformers", "timm")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("regconv", HEAVY),
        ("regconv.images", HEAVY),
        ("index.library", (*HEAVY, "gradio", "alembic")),
        ("index.decode_worker", (*HEAVY, "gradio", "sqlalchemy", "faiss")),
        ("index.search", (*HEAVY, "gradio")),
        ("index.doctor", (*HEAVY, "gradio")),
        ("storage.catalog", (*HEAVY, "PIL", "faiss", "alembic")),
        ("app", (*HEAVY, "gradio", "sqlalchemy", "faiss")),
    ],
)
def test_an_import_loads_nothing_that_it_does_not_need(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sorted({set(unwanted)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
