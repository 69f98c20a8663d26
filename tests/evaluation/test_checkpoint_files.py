import re

import pytest

from sgan_lab.errors import DataError
from sgan_lab.evaluation.checkpoint_files import find_checkpoint
from sgan_lab.evaluation.checksums import checksum_file, sha256


@pytest.fixture
def run(tmp_path):
    """A run folder with three checkpoints, the newest of which is damaged."""
    folder = tmp_path / "sweep" / "seed=0" / "checkpoints"
    folder.mkdir(parents=True)
    for iteration in (9, 10, 20):
        path = folder / f"iteration-{iteration}.ckpt"
        path.write_text(str(iteration))
        checksum_file(path).write_text(sha256(path))
    path.write_text("damaged")
    return folder.parent


def test_of_a_run_folder_the_newest_intact_checkpoint_is_taken(run):
    expected = run / "checkpoints" / "iteration-10.ckpt"
    assert find_checkpoint(run) == find_checkpoint(run, "last") == expected


def test_the_best_checkpoint_is_taken_where_it_is_asked_for(run):
    best = run / "checkpoints" / "best.ckpt"
    with pytest.raises(DataError, match=r"best\.ckpt does not exist; the run kept no best"):
        find_checkpoint(run, "best")
    best.touch()
    assert find_checkpoint(run, "best") == best
    assert find_checkpoint(run).name == "iteration-10.ckpt"


def test_a_file_is_taken_as_it_is(run):
    file = run / "checkpoints" / "iteration-9.ckpt"
    assert find_checkpoint(file) == file
    with pytest.raises(DataError, match="is no run folder"):
        find_checkpoint(file, "last")


def test_a_folder_without_a_checkpoint_is_one_error(run):
    with pytest.raises(DataError, match=f"name one, such as {re.escape(str(run))}"):
        find_checkpoint(run.parent)
    with pytest.raises(DataError, match=r"holds no intact checkpoints/iteration-<n>.ckpt\.$"):
        find_checkpoint(run / "checkpoints")
