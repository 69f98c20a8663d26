"""The notebook and the examples of docs/python.md run as they stand, but shorter."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"


def test_the_notebook_is_committed_small_and_with_its_results():
    assert NOTEBOOK.stat().st_size < 500_000
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert "test accuracy: " in json.dumps(cells)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    notebook = nbformat.read(NOTEBOOK, 4)
    switch = next(cell for cell in notebook.cells if "ITERATIONS = 1000" in cell.source)
    switch.source = switch.source.replace("ITERATIONS = 1000", "ITERATIONS = 20")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    assert len(list(tmp_path.glob("outputs/*/*/metrics.json"))) == 2


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "python.md").read_text()
    examples = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    shorter, count = re.subn(r"iterations=500", "iterations=20", examples)
    assert count == 2
    exec(compile(shorter, "python.md", "exec"), {})
    assert "finished 20" in capsys.readouterr().out
    assert (tmp_path / "generated.png").is_file()
