import random
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything

from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.algorithms.supervised import Supervised
from sgan_lab.errors import DataError, NonFiniteLossError
from sgan_lab.evaluation.checkpoint_files import checkpoints, iteration_of, newest_intact
from sgan_lab.evaluation.checksums import checksum_file
from sgan_lab.signals import SIGNALS, Interrupted
from sgan_lab.training.callbacks import SampleGrid
from sgan_lab.training.checkpoints import (
    RANDOM_STATES,
    SECONDS,
    Checkpoints,
    check_classes,
    random_states,
    set_random_states,
)
from sgan_lab.training.history import History
from sgan_lab.training.interruption import Interruption
from tests.builders import CLASSES, SHAPE, make_data

CPU = torch.device("cpu")


def make_model(name):
    if name == "sgan":
        return SGAN(SHAPE, CLASSES, 7, 3e-4, 1e-3, 1e-3)
    return Supervised(image_shape=SHAPE, class_names=CLASSES, epochs=3, learning_rate=1e-3)


class Signal(Callback):
    """Sends this process a signal in an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step + 1 == self.iteration:
            signal.raise_signal(signal.SIGINT)


def train(name, folder, keep=9, checkpoint=None, interrupted_at=0):
    seed_everything(0, verbose=False)
    model, data = make_model(name), make_data()
    callbacks = [History(1), SampleGrid(4), Checkpoints(str(folder), keep)]
    interruption = Interruption()
    trainer = Trainer(
        **model.training_limit,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder.parent,
        callbacks=[*callbacks, Signal(interrupted_at), interruption],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, model.batches(data, 2), ckpt_path=checkpoint, weights_only=True)
    interruption.end_if_received()
    return model, callbacks


@pytest.mark.parametrize(("name", "ends"), [("sgan", [2, 4, 6, 7]), ("supervised", [3, 6, 9])])
def test_training_goes_on_from_each_checkpoint_as_if_uninterrupted(tmp_path, name, ends):
    whole, (history, samples, _) = train(name, tmp_path / "whole")
    drawn = torch.rand(3)
    assert history.interval_ends == ends
    paths = checkpoints(tmp_path / "whole")
    assert [path.name for path in paths] == [f"iteration-{end}.ckpt" for end in reversed(ends)]
    for path in paths:
        resumed, (its_history, its_samples, _) = train(name, tmp_path / path.stem, checkpoint=path)
        assert torch.equal(torch.rand(3), drawn) or path == paths[0]
        for key, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], value), key
        assert its_history.interval_ends == ends
        assert torch.equal(its_history.values, history.values)
        if name == "sgan":
            assert torch.equal(its_samples.noise, samples.noise)
        if path == paths[0]:  # nothing was left to do
            continue
        last = [torch.load(tmp_path / run / paths[0].name) for run in ("whole", path.stem)]
        for ours, others in zip(*(each["optimizer_states"] for each in last), strict=True):
            for index, moments in ours["state"].items():
                for key, value in moments.items():
                    assert torch.equal(value, others["state"][index][key])


@pytest.mark.parametrize(
    ("name", "iterations"), [("sgan", [3, 4, 7]), ("supervised", [4, 5, 6, 9])]
)
def test_an_interrupted_iteration_is_finished_and_gone_on_from(tmp_path, name, iterations):
    """Within an interval, at its end and at the last iteration."""
    whole, (history, *_) = train(name, tmp_path / "whole")
    last = checkpoints(tmp_path / "whole")[0]
    content = torch.load(last)
    for iteration in iterations:
        folder, handlers = tmp_path / str(iteration), [signal.getsignal(each) for each in SIGNALS]
        with pytest.raises(Interrupted) as ended:
            train(name, folder, interrupted_at=iteration)
        assert ended.value.code == 130
        assert [signal.getsignal(each) for each in SIGNALS] == handlers
        checkpoint = newest_intact(folder)
        assert iteration_of(checkpoint) == iteration

        resumed, (its_history, *_) = train(name, folder, checkpoint=checkpoint)
        for key, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], value), key
        assert its_history.interval_ends == history.interval_ends
        assert torch.equal(its_history.values, history.values)
        its_content = torch.load(folder / last.name)
        assert its_content["epoch"] == content["epoch"]
        assert torch.equal(
            its_content[RANDOM_STATES][0]["torch"], content[RANDOM_STATES][0]["torch"]
        )


def test_a_second_sigint_ends_at_once_but_a_sigterm_waits():
    interruption = Interruption()
    interruption.end_if_received()
    interruption.receive(signal.SIGTERM, None)
    interruption.receive(signal.SIGTERM, None)
    with pytest.raises(Interrupted) as ended:
        interruption.receive(signal.SIGINT, None)
    assert ended.value.code == 130
    with pytest.raises(Interrupted) as ended:
        interruption.end_if_received()
    assert ended.value.code == 143


def test_an_interruption_keeps_no_checkpoint_of_diverged_training(tmp_path, monkeypatch):
    step = SGAN.training_step

    def diverge(model, *arguments):
        values = step(model, *arguments)
        return values | {"generator/loss": torch.tensor(torch.nan)}

    monkeypatch.setattr(SGAN, "training_step", diverge)
    with pytest.raises(NonFiniteLossError, match="generator/loss is nan at iteration 1;"):
        train("sgan", tmp_path, interrupted_at=1)
    assert checkpoints(tmp_path) == []


def test_the_newest_checkpoints_are_kept_with_their_checksums(tmp_path):
    (tmp_path / "iteration-1.part").write_bytes(b"of a process that was killed")
    _, (_, _, callback) = train("sgan", tmp_path, keep=2)
    names = ["iteration-6.ckpt", "iteration-7.ckpt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names, *(f"{name}.sha256" for name in names)]
    )
    assert callback.newest == newest_intact(tmp_path) == tmp_path / "iteration-7.ckpt"
    for name in names:
        command = ["sha256sum", "--check", f"{name}.sha256"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    train("supervised", folder, keep=2)
    return folder


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: checksum_file(path).unlink(),
        lambda path: checksum_file(path).write_bytes(b""),
        lambda path: checksum_file(path).write_bytes(b"\xff\xfe"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    two_checkpoints, tmp_path, caplog, damage
):
    shutil.copytree(two_checkpoints, tmp_path, dirs_exist_ok=True)
    newest, before = checkpoints(tmp_path)
    damage(newest)
    assert newest_intact(tmp_path) == before
    assert f"{newest} is damaged" in caplog.text
    damage(before)
    assert newest_intact(tmp_path) is None


def test_an_interrupted_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save = Trainer.save_checkpoint

    def fail_at_the_second(trainer, path, **options):
        save(trainer, path, **options)
        if trainer.global_step == 4:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "save_checkpoint", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        train("sgan", tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["iteration-2.ckpt"]
    assert newest_intact(tmp_path) == tmp_path / "iteration-2.ckpt"


def test_a_checkpoint_keeps_the_seconds_of_all_processes(tmp_path):
    train("sgan", tmp_path / "whole")
    first = tmp_path / "whole" / "iteration-4.ckpt"
    seconds = torch.load(first)[SECONDS]
    content = torch.load(first)
    torch.save(content | {SECONDS: 1000 + seconds}, first)
    _, (*_, callback) = train("sgan", tmp_path / "resumed", checkpoint=first)
    assert callback.seconds_before == 1000 + seconds
    later = [torch.load(path)[SECONDS] for path in reversed(checkpoints(tmp_path / "resumed"))]
    assert 1000 + seconds < later[0] < later[1] < 2000


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "fox"), "missing: dog; new: fox"),
        (("cat", "dog", "emu"), r"\(new: emu\)"),
        (("cat",), r"\(missing: dog\)"),
        (("dog", "cat"), r"\(another order\)"),
    ],
)
def test_other_classes_than_those_of_a_checkpoint_are_named(tmp_path, names, message):
    check_classes(tmp_path, ["cat", "dog"], ("cat", "dog"))
    with pytest.raises(DataError, match=message):
        check_classes(tmp_path, ["cat", "dog"], names)


def test_all_random_number_generators_are_restored():
    states = random_states(CPU)
    drawn = torch.rand(2), random.random(), np.random.rand()  # noqa: NPY002
    set_random_states(states, CPU)
    again = torch.rand(2), random.random(), np.random.rand()  # noqa: NPY002
    assert torch.equal(drawn[0], again[0])
    assert drawn[1:] == again[1:]
