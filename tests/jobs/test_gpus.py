"""Several runs at once take a GPU each, tried with names of GPUs that are not there."""

import os

import pytest
import torch
from omegaconf import OmegaConf

from sgan_lab.jobs import gpus


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """The files of the GPUs that are taken, which each run would hold in a process of its own."""
    monkeypatch.setattr(gpus, "held", [])
    monkeypatch.setattr(gpus.take_gpu, "__defaults__", (tmp_path / "locks",))
    yield gpus.held
    for file in gpus.held:
        file.close()


def test_each_run_takes_the_gpu_that_the_fewest_have(taken):
    names = ["0", "2", "GPU-8932f937"]
    assert [gpus.take_gpu(names) for _ in range(4)] == [*names, "0"]
    taken[1].close()  # as when its process ends
    assert [gpus.take_gpu(names) for _ in range(2)] == ["2", "2"]


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(
    ("visible", "trainer", "chosen"),
    [
        (None, {"accelerator": "auto", "devices": 1}, ["0", "1", "0"]),
        ("3,5", {"accelerator": "gpu", "devices": 1}, ["3", "5", "3"]),
        ("3", {"accelerator": "gpu", "devices": 1}, ["3", "3"]),
        ("", {"accelerator": "auto", "devices": 1}, ["", ""]),
        ("3,5", {"accelerator": "gpu", "devices": 2}, ["3,5"]),
        ("3,5", {"accelerator": "cpu", "devices": 1}, ["3,5"]),
    ],
)
def test_a_run_on_one_gpu_of_several_sees_that_one_only(monkeypatch, visible, trainer, chosen):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = []
    for _ in chosen:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        gpus.choose_gpu(OmegaConf.create(trainer))
        found.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert found == chosen
