import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from sgan_lab.data.containers import scale
from sgan_lab.data.image_folder import read_images
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.predict import predict
from tests.builders import make_image_folder


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
    (prediction,) = predict(classifier, image)
    assert prediction.probability == pytest.approx(probability.item())

    assert run_predict(checkpoint, tmp_path / "absent.png").returncode == 1


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_a_file_name_of_any_script_is_printed_whatever_the_terminal(checkpoint, tmp_path, encoding):
    path = tmp_path / "猫.png"
    Image.new("L", (28, 28)).save(path)
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
