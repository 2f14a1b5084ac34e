"""The house itself: imports go down, the public names are what they say, and light verbs stay light."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[1]
FLOORS = {"envs": {"envs"}, "agents": {"envs", "agents"}, "transfer": {"envs", "agents", "transfer"}}
MODULES = [path for floor in FLOORS for path in sorted((HOME / floor).rglob("*.py"))]
HEAVY = ("torch", "gymnasium", "numba", "stable_baselines3", "matplotlib")


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOME)))
def test_imports_only_go_down(path: Path) -> None:
    floor = path.relative_to(HOME).parts[0]
    assert imported_packages(path) & set(FLOORS) <= FLOORS[floor]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOME)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


def rooms_told() -> set[str]:
    """The files and folders in the first column of the design's table; the first of a line names the floor of all."""
    told = set()
    for line in (HOME / "docs" / "design.md").read_text().splitlines():
        if line.startswith(tuple(f"| `{floor}/" for floor in FLOORS)):
            first, *others = re.findall(r"`([\w/.]+)`", line.split("|")[1])
            told |= {first, *(f"{first.partition('/')[0]}/{other}" for other in others)}
    return told


def test_the_design_names_every_room() -> None:
    there = set()
    for path in MODULES:
        floor, *inside = path.relative_to(HOME).parts
        if not path.name.startswith("__"):
            there.add(f"{floor}/{inside[0]}" + ("/" if len(inside) > 1 else ""))
    told = rooms_told()
    assert there - told == set()
    assert {room for room in told if not (HOME / room).exists()} == set()


@pytest.mark.parametrize("floor", FLOORS)
def test_public_names_are_those_of_the_stub(floor: str) -> None:
    package = importlib.import_module(floor)
    stub = ast.parse((HOME / floor / "__init__.pyi").read_text())
    declared = {
        alias.asname or alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(package.__all__) == declared
    for name in declared:
        assert getattr(package, name) is not None


def loaded_after(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=HOME)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("arguments", [["--help"], ["games"], ["games", "list"]])
def test_light_verbs_load_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_after(f"from transfer.cli.app import run\nassert run({arguments!r}) == 0")
    assert not loaded & set(HEAVY)


def test_importing_the_floors_loads_nothing_heavy() -> None:
    assert not loaded_after("import envs, agents, transfer") & set(HEAVY)


def test_every_extra_is_known_to_the_registry() -> None:
    from envs.registry import EXTRA_OF_MODULE

    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    assert set(EXTRA_OF_MODULE.values()) <= set(project["optional-dependencies"])


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    pinned = (HOME / "constraints.txt").read_text().splitlines()
    pins = {line.partition("==")[0].lower().replace("_", "-") for line in pinned}
    for requirement in project["dependencies"]:
        name = requirement.partition("[")[0].partition(">")[0].strip().lower().replace("_", "-")
        assert name in pins, name


def test_data_files_are_packaged() -> None:
    """Whatever a module reads beside itself must match a pattern of package-data, or wheels lack it."""
    patterns = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for floor in FLOORS:
        for path in (HOME / floor).rglob("*"):
            if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
                assert any(path.match(pattern) for pattern in patterns), path
