import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from sgan_lab.data.containers import scale
from sgan_lab.data.image_files import read_images
from sgan_lab.evaluation import predict as predict_module
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.predict import main
from tests.builders import make_image_folder

PICTURE = Image.new("L", (28, 28), 99)


def run_predict(*arguments):
    command = [sys.executable, "-m", "sgan_lab", "predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_own_images_are_trained_on_and_the_classifier_taken_away(command_line, tmp_path):
    root = make_image_folder(tmp_path / "images")
    result = command_line(
        *["data=image_folder", "data.root=images", "data.image_size=[10,12]", "data.channels=3"],
        *["data.batch_size=2", "iterations=2", "hydra.run.dir=run"],
    )
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["test_class_accuracy"]) == {"cat", "dog"}

    checkpoint = tmp_path / "run" / "checkpoints" / "iteration-2.ckpt"
    single = root / "test" / "cat" / "0.png"
    output = run_predict(checkpoint, root / "labeled", single).stdout
    rows = list(csv.DictReader(output.splitlines()))
    assert [row["file"] for row in rows][-1] == str(single)
    assert len(rows) == 7

    # The same from Lightning's checkpoint by hand.
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    classifier = load_classifier(checkpoint)
    for name, weight in classifier.network.named_parameters():
        assert torch.equal(weight, weights[f"discriminator.{name}"])
    image = read_images([single], [10, 12], 3)
    logits = classifier.network(scale(image))[0]
    probability, label = logits.softmax(0).max(0)
    assert rows[-1]["class"] == ["cat", "dog"][label]
    assert float(rows[-1]["probability"]) == pytest.approx(probability.item(), abs=1e-6)
    real = 1 - 1 / (logits.exp().sum().item() + 1)
    assert float(rows[-1]["real_probability"]) == pytest.approx(real, abs=1e-6)

    assert run_predict(checkpoint, tmp_path / "absent.png").returncode == 1


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_a_file_name_of_any_script_is_printed_whatever_the_terminal(checkpoint, tmp_path, encoding):
    path = tmp_path / "猫.png"
    PICTURE.save(path)
    command = [sys.executable, "-m", "sgan_lab", "predict", checkpoint, path]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    result = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert str(path).encode() in result.stdout


def test_a_closed_pipe_ends_it_without_a_word(checkpoint, tmp_path):
    for index in range(3000):  # more than a pipe holds
        path = tmp_path / f"{index:050}.png"
        path.hardlink_to(tmp_path / f"{0:050}.png") if index else Image.new("L", (4, 4)).save(path)
    command = 'set -o pipefail; "$@" | head -1'
    arguments = [sys.executable, "-m", "sgan_lab", "predict", checkpoint, tmp_path]
    result = subprocess.run(
        ["bash", "-c", command, "-", *arguments], capture_output=True, text=True, check=False
    )
    assert (result.stdout.count("\n"), result.stderr) == (1, "")


def test_a_folder_without_pictures_is_one_error(checkpoint, tmp_path):
    result = run_predict(checkpoint, tmp_path)
    assert (result.returncode, result.stderr) == (1, f"No pictures in {tmp_path}.\n")


@pytest.fixture
def classify(checkpoint, monkeypatch, capfd):
    """The command in this process: its exit status or message, the rows that it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["predict", str(checkpoint), *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code
        return status, list(csv.DictReader(capfd.readouterr().out.splitlines()))

    return run


def test_what_cannot_be_read_is_left_out_and_counted(classify, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_module, "BATCH_SIZE", 2)  # the last batch has no picture
    for name in ("a", "b\x1b[31m", "c"):
        PICTURE.save(tmp_path / f"{name}.png")
    (tmp_path / "b\x1b[31m.png").write_text("no picture")
    os.mkfifo(tmp_path / "pipe")  # a reader would wait for ever
    too_long = tmp_path / ("x" * 5000)
    message, rows = classify(tmp_path, tmp_path / "pipe", too_long)
    assert [Path(row["file"]).name for row in rows] == ["a.png", "c.png"]
    assert message.startswith(f"3 of 5 pictures are left out: {tmp_path / 'b'}")
    assert "[31m.png is no readable image: " in message
    assert not set("\n\x1b") & set(message)
    assert classify(tmp_path / "a.png")[0] == 0


def test_all_probabilities_and_a_threshold(classify, tmp_path):
    PICTURE.save(tmp_path / "a.png")
    _, (row,) = classify(tmp_path, "--all")
    probabilities = {name: float(row[f"probability_{name}"]) for name in "0123456789"}
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert max(probabilities, key=probabilities.get) == row["class"]
    assert max(probabilities.values()) == float(row["probability"]) < 0.9999
    _, (doubtful,) = classify(tmp_path, "--threshold", "0.9999")
    assert doubtful["class"] == ""
    assert doubtful["probability"] == row["probability"]
    assert "probability_0" not in doubtful
    assert classify(tmp_path, "--threshold", "1.5")[0] == 2


def test_names_are_no_formulas_of_a_spreadsheet(classify, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("=1+1.png", "@a.png", "b.png"):
        PICTURE.save(tmp_path / name)
    assert [row["file"] for row in classify(".")[1]] == ["'=1+1.png", "'@a.png", "b.png"]


def test_a_full_device_is_one_line(checkpoint, tmp_path):
    PICTURE.save(tmp_path / "a.png")
    command = [sys.executable, "-m", "sgan_lab", "predict", checkpoint, tmp_path]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr == "[Errno 28] No space left on device\n"


def test_on_a_terminal_no_name_is_a_command_and_no_bar_is_shown(checkpoint, tmp_path):
    PICTURE.save(tmp_path / "\x1b[31mred.png")
    command = [sys.executable, "-m", "sgan_lab", "predict", checkpoint, tmp_path]
    reader, terminal = pty.openpty()
    result = subprocess.run(command, stdout=terminal, stderr=terminal, check=False)
    os.close(terminal)
    shown = os.read(reader, 10000).decode()
    os.close(reader)
    assert result.returncode == 0
    assert "\N{REPLACEMENT CHARACTER}[31mred.png" in shown
    assert "\x1b" not in shown
