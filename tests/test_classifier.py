import pytest
import torch

from sgan_lab.classifier import load_classifier
from sgan_lab.errors import DataError


class Hostile:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_what_is_no_checkpoint_is_named_and_runs_no_code(tmp_path):
    hostile, trace = tmp_path / "hostile.ckpt", tmp_path / "trace"
    torch.save({"state_dict": Hostile(trace)}, hostile)
    other = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}}, other)
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(other.read_bytes()[:100])
    for path in (hostile, other, broken, tmp_path / "absent.ckpt"):
        with pytest.raises(DataError, match=f"{path.name} is no readable checkpoint"):
            load_classifier(path)
    assert not trace.exists()
