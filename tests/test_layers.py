"""The package is built in layers: imports point down, and the way to the first message is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sgan_lab

PACKAGE = Path(sgan_lab.__file__).parent
LAYERS = [  # a module belongs to the longest of these names that it begins with
    ["run", "cli", "interface", "estimator", "__main__"],
    ["jobs", "report"],
    ["training"],
    ["algorithms", "evaluation"],
    ["networks", "losses", "data"],
    ["config"],
    ["errors", "signals", "terminal", "progress", "data.catalog", "networks.registry", "__init__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in PACKAGE.rglob("*.py")
    if file.stem != "__init__" or file.parent == PACKAGE
}


def level_of(module):
    names = [name for name in LEVEL if f"{module}.".startswith(f"{name}.")]
    assert names, f"{module} is in no layer; see docs/extending.md"
    return LEVEL[max(names, key=len)]


def imports_of(file):
    """Modules of the package that a file imports, at its top or within functions."""
    tree = ast.parse(file.read_text())
    if file == PACKAGE / "__init__.py":  # what it imports for type checkers, it gives on demand
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sgan_lab":
            for alias in node.names:
                name = f"{node.module}.{alias.name}".removeprefix("sgan_lab.")
                yield name if name in MODULES else name.rpartition(".")[0] or "__init__"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module):
    upwards = [name for name in imports_of(MODULES[module]) if level_of(name) < level_of(module)]
    assert upwards == []


@pytest.mark.parametrize(
    "module",
    [
        *("run", "cli", "interface", "jobs.sweep", "jobs.worker", "config.targets"),
        *("data.catalog", "evaluation.metrics"),
    ],
)
def test_the_way_to_the_first_message_is_light(module):
    program = f"import sys, sgan_lab.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "pytorch_lightning", "torchvision", "pandas", "matplotlib", "sklearn"}
    assert not heavy & set(loaded)
