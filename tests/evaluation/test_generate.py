import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from sgan_lab.data.containers import scale
from sgan_lab.errors import UserError
from sgan_lab.evaluation import generate
from sgan_lab.evaluation.checkpoint_files import find_checkpoint
from sgan_lab.evaluation.generate import (
    between,
    coverage,
    frechet_distance,
    load_gan,
    main,
    nearest,
)
from tests.steps import train_here

TRAINING = ["iterations=4", "sample_interval=4", "callbacks.samples.num_images=2"]


@pytest.mark.parametrize("counts", [(400, 300), (5, 9)])
def test_the_frechet_distance_is_heusels_formula(counts):
    generator = torch.Generator().manual_seed(0)
    real, fake = (
        scale_ * torch.randn(count, 8, generator=generator, dtype=torch.float64) + shift
        for count, scale_, shift in zip(counts, (1, 2), (0, 0.5), strict=True)
    )
    covariances = [np.cov(each.numpy(), rowvar=False) for each in (real, fake)]
    gap = real.mean(0) - fake.mean(0)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = gap.square().sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(real, fake) == pytest.approx(expected.item(), rel=1e-4)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def test_a_set_reaches_as_far_as_its_third_nearest_neighbors():
    line = torch.tensor([[0.0], [1], [2], [3], [10]])  # they reach 3, 2, 2, 3 and 9
    assert coverage(torch.tensor([[-3.0], [-3.1], [6.0], [19.0], [19.1]]), line) == 3 / 5
    assert coverage(line, line) == 1


def test_lines_go_from_one_noise_to_another():
    points = between(torch.zeros(2, 3), torch.tensor([[1.0] * 3, [2.0] * 3]), 5)
    assert points[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 0, 0.5, 1, 1.5, 2]


def test_the_nearest_image_is_the_one_with_the_nearest_pixels(monkeypatch):
    monkeypatch.setattr(generate, "BATCH_SIZE", 3)
    candidates = torch.arange(0, 250, 10, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    images = scale(torch.tensor([3.0, 7, 121, 255]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2))
    assert nearest(images, candidates).tolist() == [0, 1, 12, 24]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sgan", "improved_sgan", "feature_matching", "bad_gan"])
def test_a_checkpoint_generates_what_its_model_did(tmp_path, monkeypatch, capsys, model):
    run, output = tmp_path / "run", tmp_path / "new"
    small = ["model.low_density_weight=0"] if model == "bad_gan" else []
    train_here(run, f"model={model}", "data.batch_size=4", *TRAINING, *small)
    checkpoint = find_checkpoint(run)
    content = torch.load(checkpoint, weights_only=True)
    noise = content["callbacks"]["SampleGrid"]["noise"]
    found = load_gan(checkpoint, run).inferred_images(noise)
    assert torch.equal(found, content["callbacks"]["SampleGrid"]["over_time"][4])
    if model != "sgan":
        return

    def run_generate(*arguments):
        command = ["generate", run, "--count", 5, "--output", output, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        try:
            main()
        except SystemExit as exit_:
            return exit_.code
        except UserError as error:
            return str(error)

    monkeypatch.setattr(generate, "COMPARED", 50)
    assert run_generate("--interpolate") is None
    written = json.loads((output / "generation.json").read_text())
    assert written["fid"] > 0
    assert 0 <= written["precision"] <= 1
    assert f"fid {written['fid']:.4g}, precision" in capsys.readouterr().out
    sizes = {path.name: Image.open(path).size for path in output.glob("*.png")}
    assert sizes["images.png"] == (5 * 30 + 2, 32)
    assert sizes["nearest.png"] == (8 * 30 + 2, 2 * 30 + 2)
    assert sizes["interpolation.png"] == (10 * 30 + 2, 8 * 30 + 2)
    assert run_generate() == f"{output} already exists; name a new folder with --output."
    assert run_generate("--count", 1) == 2
    first = (output / "images.png").read_bytes()
    for seed in (0, 1):
        assert run_generate("--seed", seed, "--output", tmp_path / str(seed)) is None
        assert ((tmp_path / str(seed) / "images.png").read_bytes() == first) == (seed == 0)

    with pytest.raises(generate.DataError, match="training has diverged"):
        generate.images_of(load_gan(checkpoint, run), torch.full((2, 100), float("nan")))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("sgan_lab.algorithms.sgan.SGAN", "os.system"))
    assert "the model os.system, which is not of sgan_lab" in run_generate(
        "--output", tmp_path / "x"
    )
    other = "sgan_lab.algorithms.improved_sgan.ImprovedSGAN"
    torch.save(content | {"state_dict": {**content["state_dict"], "x": noise}}, tmp_path / "x.ckpt")
    (run / "config.yaml").write_text(config.replace("sgan_lab.algorithms.sgan.SGAN", other))
    with pytest.raises(generate.DataError, match=r"is no checkpoint of .*ImprovedSGAN"):
        load_gan(tmp_path / "x.ckpt", run)


def test_a_model_without_a_generator_is_one_line(baseline_run, monkeypatch, tmp_path):
    arguments = ["generate", str(baseline_run), "--output", str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(UserError, match=r"has no generator: its model is Supervised\."):
        main()
    assert not (tmp_path / "new").exists()
