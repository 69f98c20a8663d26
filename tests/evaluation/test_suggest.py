import base64
import csv
import io
import re
import shutil
import sys
from math import log

import pytest
import torch
from PIL import Image
from torch import nn

from sgan_lab.errors import UserError
from sgan_lab.evaluation.classifier import Classifier
from sgan_lab.evaluation.suggest import disagreement, main, suggest
from tests.builders import read_folder


class Pixels(nn.Module):
    """The features are the pixels; the logit of the first class grows with the first of them."""

    def features(self, images):
        return images.flatten(1)

    def forward(self, images):
        first = 4 * images[:, 0, 0, 0]
        return torch.stack([first, -first, torch.full_like(first, -3.0)], dim=1)


def classifier_of(shape):
    return Classifier(Pixels().eval(), shape, ["a", "b", "c"], "own.Pixels", temperature=2.0)


def clusters():
    """Images (first pixel, others): doubtful ones of three kinds, and certain ones."""
    firsts = [130, 129, *range(131, 159), *[255] * 30]
    others = [*[0] * 10, *[255] * 10, *[120] * 10, *range(30)]
    images = torch.tensor(others, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
    images[:, 0, 0, 0] = torch.tensor(firsts)
    return images


@pytest.mark.parametrize("by", ["entropy", "margin"])
def test_the_most_doubtful_of_each_kind_is_chosen(by):
    found = suggest(classifier_of((1, 2, 2)), clusters(), 3, by)
    assert [each.index for each in found] == [1, 10, 20]
    first = 4 * (129 - 127.5) / 127.5 / 2
    values = [first, -first, -1.5]
    p = [2.718281828**value for value in values]
    p = [each / sum(p) for each in p]
    expected = -sum(each * log(each) for each in p) if by == "entropy" else 1 - (p[0] - p[1])
    assert found[0].score == pytest.approx(expected, abs=1e-5)
    assert found[0].probability == pytest.approx(p[0], abs=1e-5)
    assert found[0].guess == "a"


def test_certain_images_are_no_candidates_and_equal_ones_fill_up():
    images = clusters()[[0] * 9 + [1] + [30] * 11 + [20] * 10]  # 20 candidates
    found = suggest(classifier_of((1, 2, 2)), images, 2)
    assert [each.index for each in found] == [9, 21]
    equal = suggest(classifier_of((1, 2, 2)), clusters()[[0] * 9], 4)
    assert [each.index for each in equal] == [0, 1, 2, 3]
    assert len(suggest(classifier_of((1, 2, 2)), clusters()[:2], 4)) == 2


def test_views_disagree_where_a_shift_changes_the_guess():
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    images[1, :, :, ::2] = 255
    classifier, state = classifier_of((1, 8, 8)), torch.get_rng_state()
    same, other = disagreement(classifier, images, 0).tolist()
    assert same == pytest.approx(0, abs=1e-6)
    assert other > 0.01
    assert torch.equal(torch.get_rng_state(), state)
    assert disagreement(classifier, images, 0).tolist() == [same, other]
    assert disagreement(classifier, images, 1)[1] != other
    assert suggest(classifier, images, 1, "disagreement")[0].index == 1


def test_what_is_suggested_can_be_filled_in_and_trained_on(
    checkpoint, tmp_path, monkeypatch, capsys
):
    root, output, table = tmp_path / "images", tmp_path / "next", tmp_path / "labels.csv"
    generator = torch.Generator().manual_seed(0)
    names = ["=1+1.png", "<b>&.png", "in/c.png", "d.png", "e.png", "f.png"]
    (root / "in").mkdir(parents=True)
    for name in names:
        pixels = torch.randint(256, (28, 28), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(root / name)
    (root / "broken.png").write_text("no picture")
    table.write_text("file,class\nd.png,=x\ne.png,y\n")

    def run(*arguments):
        options = ["--labels", table, "--count", 3, "--output", output, *arguments]
        monkeypatch.setattr(sys, "argv", ["suggest", *map(str, [checkpoint, root, *options])])
        try:
            main()
        except SystemExit as exit_:
            return exit_.code
        except UserError as error:
            return str(error)

    message = run("--by", "disagreement")
    assert message.startswith(f"1 of 5 pictures are left out: {root / 'broken.png'}")
    assert str(output / "labels.csv") in capsys.readouterr().out
    with (output / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    *new, first, second = rows
    assert len(new) == 3
    assert {row["file"].removeprefix("'") for row in new} <= {*names} - {"d.png", "e.png"}
    assert [(row["file"], row["class"]) for row in (first, second)] == [
        *[("d.png", "'=x"), ("e.png", "y")]
    ]
    scores = [float(row["score"]) for row in new]
    assert scores == sorted(scores, reverse=True)
    sheet = (output / "sheet.html").read_text()
    assert "<b>&.png" not in sheet
    assert not re.search(r"(src|href)=\"(?!data:)", sheet)
    (shown, *_) = re.findall(r"data:image/png;base64,([^\"]*)", sheet)
    assert Image.open(io.BytesIO(base64.b64decode(shown))).size == (28, 28)
    for row in new:
        assert f"<b>{row['guess']}</b> {100 * float(row['probability']):.0f} %" in sheet

    for row in new:
        row["class"] = "y"
    with (output / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    data = read_folder(root, labels=str(output / "labels.csv"), skip_broken=True, test_fraction=0.1)
    assert data.class_names == ("=x", "y")
    assert len(data.labeled.labels) + len(data.test.labels) == 5
    assert len(data.unlabeled_images) == 1
    before = (output / "labels.csv").read_bytes()
    assert run() == f"{output} already exists; name a new folder with --output."
    assert (output / "labels.csv").read_bytes() == before
    assert run("--count", 0) == 2


def test_without_a_classifier_those_are_chosen_that_stand_for_the_most(
    tmp_path, monkeypatch, capsys
):
    """Ten pictures that light their left half and six that light the right one."""
    generator = torch.Generator().manual_seed(0)
    for number in range(16):
        pixels = torch.randint(100, 150, (8, 8), generator=generator, dtype=torch.uint8)
        pixels[:, slice(4, 8) if number < 10 else slice(4)] = 0
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{number:02}.png")
    (tmp_path / "test").mkdir()
    shutil.copy(tmp_path / "00.png", tmp_path / "test")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["suggest", *map(str, arguments)])
        main()
        folder = tmp_path / "next"
        with (folder / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        sheet = (folder / "sheet.html").read_text()
        shutil.rmtree(folder)
        return rows, sheet

    output = ["--output", tmp_path / "next"]
    first, second = rows = run("--count", 2, tmp_path, *output)[0]
    assert (first["score"], second["score"]) == ("10", "6")
    assert first["file"] < "10.png" <= second["file"]
    assert {row[name] for row in rows for name in ("class", "guess", "probability")} == {""}
    rows, sheet = run(tmp_path, *output)
    assert len(rows) == 16
    assert "similar" in sheet
    assert "%" not in re.sub('base64,[^"]*|<style>.*</style>', "", sheet, flags=re.DOTALL)
    with pytest.raises(SystemExit):
        run(tmp_path, "--by", "entropy", *output)
    assert "--by, --which and --trust need a checkpoint" in capsys.readouterr().err
    (tmp_path / "config.yaml").touch()
    with pytest.raises(SystemExit):
        run(tmp_path, *output)
    assert f"the folder of the pictures after the run {tmp_path}" in capsys.readouterr().err
