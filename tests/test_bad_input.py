"""Values and files of every kind of badness: each is taken, or refused with a message.

SGAN_LAB_INPUTS sets how many inputs are drawn in all, and has them drawn anew each time.
"""

import copy
import faulthandler
import functools
import hashlib
import io
import json
import os
import pickle
import struct
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torchvision.datasets.mnist import read_image_file, read_label_file

from sgan_lab.config.checks import EXPLAINED, check_values, explain
from sgan_lab.config.files import CONFIG_PATH, load_config
from sgan_lab.config.schema import CLASSES, Root, Sweep
from sgan_lab.data.image_files import read_images
from sgan_lab.data.torchvision_sets import check_idx_file
from sgan_lab.errors import DataError
from sgan_lab.evaluation.checkpoint_files import checkpoints, newest_intact
from sgan_lab.evaluation.checksums import checksum_file, sha256
from sgan_lab.evaluation.classifier import Classifier, load_classifier
from sgan_lab.evaluation.evaluate import run_data
from sgan_lab.jobs.checks import check_loggers
from sgan_lab.jobs.resume import changed_settings, complete_arguments
from sgan_lab.jobs.status import FILE, Status, read_status
from sgan_lab.networks.tutorial import Discriminator
from sgan_lab.report.events import SAMPLES, mean_curves, read_events
from sgan_lab.report.figures import curves_figure, samples_figure
from sgan_lab.report.page import facts, write_report
from sgan_lab.report.runs import paired_differences, read_runs, summarize
from tests.builders import make_run, write_events

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SGAN_LAB_INPUTS", "2000"))  # more for a thorough test by hand
HANGING = 120  # seconds for one input, after which the test run ends; generous, for busy machines


def inputs(share, strategy):
    """Has a test called with its share of all inputs."""

    def decorate(test):
        @settings(
            max_examples=max(1, round(share * INPUTS)),
            deadline=None,
            database=None,
            derandomize="SGAN_LAB_INPUTS" not in os.environ,
            suppress_health_check=list(HealthCheck),
        )
        @given(drawn=strategy)
        @functools.wraps(test)
        def watched(*, drawn, **fixtures):
            faulthandler.dump_traceback_later(HANGING, exit=True)
            try:
                test(drawn=drawn, **fixtures)
            finally:
                faulthandler.cancel_dump_traceback_later()

        return watched

    return decorate


ODD_TEXTS = [
    *("", " ", "null", "???", "1e400", "-0", "nan", "\x00", "\x1b[31m", "\n", "\ud800", "../x"),
    *("${x}", "${seed}", "${oc.env:ABSENT}", "${oc.decode:[1}", "${oc.create:{a:b}}", "${hydra:x}"),
    *("${", "\\${seed}", "$bad$", "<script>", "a" * 5000, "os.system", "torch.os.system", "[red]"),
    *(
        "sgan_lab.data.load.load",
        "sgan_lab.algorithms.sgan.SGAN",
        "pytorch_lightning.Trainer",
        "é",
        "１",
    ),
]
ODD_NUMBERS = [0, -0.0, -1, 2**31, 2**63, 2**64, 10**400, 1e-320, 1e308, 0.5, True, False, None]
scalars = (
    st.sampled_from([*ODD_TEXTS, *ODD_NUMBERS, float("nan"), float("inf"), -float("inf")])
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.just("_target_"), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def damaged(draw, originals):
    """Bytes of a file, damaged in one of the ways of disks, downloads and mischief."""
    content = bytearray(draw(st.sampled_from(originals)))
    kind = draw(st.sampled_from(["cut", "flip", "fill", "splice", "replace", "header"]))
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        del content[at:]
    elif kind == "flip" and content:
        for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
            content[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "fill":
        length = draw(st.integers(1, 64))
        content[at : at + length] = bytes([draw(st.integers(0, 255))]) * length
    elif kind == "splice":
        other = draw(st.sampled_from(originals))
        content[at:] = other[draw(st.integers(0, len(other))) :]
    elif kind == "replace":
        content = draw(st.binary(max_size=100))
    else:
        length = draw(st.sampled_from([2, 4, 8]))
        at = draw(st.integers(0, 64))
        content[at : at + length] = b"\xff" * length
    return bytes(content)


@contextmanager
def taken_or_refused(*names):
    """Lets nothing pass but success, and an error whose message for the user names some things."""
    try:
        yield
    except EXPLAINED as error:
        check_message(explain(error), names)


def check_message(message, names):
    assert message.strip()
    assert all(str(name) in message for name in names)
    assert not names or "\n" not in message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder that the tests of this module overwrite again and again."""
    return tmp_path_factory.mktemp("bad")


@functools.cache
def composed(*overrides):
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)))


def changed(content, changes):
    """Nested settings with some values in other ones' places, as a file could hold them."""
    content = copy.deepcopy(content)
    for key, value in changes:
        *path, last = key.split(".")
        node = content
        for name in path:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[last] = value
    return content


GROUPS = [("data=digits", "model=supervised"), ("data=mnist", "model=sgan"), ("data=image_folder",)]
KEYS = [
    *(*Root.model_fields, *(f"sweep.{name}" for name in Sweep.model_fields)),
    *sorted(
        f"{group}.{name}"
        for group in ("data", "model", "trainer")
        for settings in CLASSES[group].values()
        for name in ("_target_", "new", *settings.model_fields)
    ),
    *("logger.tensorboard", "logger.tensorboard.save_dir", "logger.new", "callbacks.samples"),
    *("callbacks.samples.num_images", "callbacks.checkpoint.dirpath", "callbacks.checkpoint.keep"),
    *("trainer.devices", "trainer.max_steps", "trainer.gradient_clip_val", "new"),
]
edits = st.tuples(
    st.sampled_from(GROUPS),
    st.lists(st.tuples(st.sampled_from(KEYS), values), min_size=1, max_size=3),
)


@inputs(0.4, edits)
def test_configuration_values(drawn, folder, monkeypatch):
    groups, changes = drawn
    monkeypatch.chdir(folder)
    with taken_or_refused():
        config = OmegaConf.create(changed(composed(*groups), changes), flags={"struct": True})
        check_values(config)
        check_loggers(config)


SHAPES = {"images": (5, 3, 4), "labels": (7,)}
IDX = [
    struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
    + bytes(number % 10 for number in range(torch.Size(shape).numel()))
    for shape in SHAPES.values()
]


@inputs(0.1, st.tuples(damaged(IDX), st.sampled_from(list(SHAPES))))
def test_idx_files(drawn, folder):
    content, kind = drawn
    path = folder / "idx"
    path.write_bytes(content)
    whole = IDX[list(SHAPES).index(kind)]
    read = {"images": read_image_file, "labels": read_label_file}[kind]
    with taken_or_refused(path):
        check_idx_file(path, SHAPES[kind], hashlib.md5(whole).hexdigest())
        assert content == whole
    with taken_or_refused(path):
        check_idx_file(path, SHAPES[kind], None)
        assert read(str(path)).shape == SHAPES[kind]
        assert kind == "images" or read(str(path)).max() <= 9


def image_file(mode, **options):
    file = io.BytesIO()
    image = Image.effect_noise((9, 7), 80).convert("RGB").convert(mode)
    image.save(file, **options)
    return file.getvalue()


IMAGES = [
    *(image_file(mode, format="PNG") for mode in ("1", "L", "P", "RGB", "RGBA", "I;16")),
    *(image_file(mode, format="JPEG") for mode in ("L", "RGB", "CMYK")),
    image_file("RGB", format="JPEG", progressive=True),
    *(image_file(mode, format="BMP") for mode in ("1", "L", "P", "RGB")),
    image_file("L", format="GIF"),
    image_file("RGB", format="TIFF"),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 7\n%%EndComments\nshowpage\n",
]


@inputs(0.2, st.tuples(damaged(IMAGES), st.sampled_from([1, 3])))
def test_images(drawn, folder):
    content, channels = drawn
    path = folder / "image.png"
    path.write_bytes(content)
    with taken_or_refused(path):
        (image,) = read_images([path], (8, 6), channels)
        assert (image.dtype, image.shape) == (torch.uint8, (channels, 8, 6))


@functools.cache
def small_checkpoint(value):
    network = Discriminator((1, 4, 4), 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)
    weights = {f"discriminator.{name}": w for name, w in network.state_dict().items()}
    file = io.BytesIO()
    names = {"image_shape": [1, 4, 4], "class_names": ["a", "b"], "discriminator": "strided"}
    torch.save({"state_dict": weights, "hyper_parameters": names}, file)
    return file.getvalue()


CHECKPOINTS = [small_checkpoint(0.5), b"".join(IDX), pickle.dumps({"state_dict": {}}, 2)]


@inputs(0.05, damaged(CHECKPOINTS))
def test_checkpoints_to_be_taken_away(drawn, folder):
    path = folder / "iteration-1.ckpt"
    path.write_bytes(drawn)
    with taken_or_refused(path):
        classifier = load_classifier(path)
        assert classifier.network(torch.zeros(3, *classifier.image_shape)).shape[0] == 3


hyper_parameters = st.fixed_dictionaries(
    {"image_shape": values, "class_names": values, "discriminator": st.just("mlp") | values}
)


@inputs(0.05, hyper_parameters)
def test_checkpoints_of_other_types(drawn, folder):
    path = folder / "iteration-1.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": drawn}, path)
    with pytest.raises(DataError):
        load_classifier(path)


@inputs(0.05, st.tuples(st.integers(1, 2), st.booleans(), st.data()))
def test_checkpoints_to_go_on_from(drawn, folder):
    number, is_sum, data = drawn
    run = folder / "run"
    run.mkdir(exist_ok=True)
    whole = {run / f"iteration-{n}.ckpt": b"checkpoint %d " % n * 9 for n in (1, 2)}
    for path, content in whole.items():
        path.write_bytes(content)
        checksum_file(path).write_text(f"{sha256(path)}  {path.name}\n")
    chosen = run / f"iteration-{number}.ckpt"
    file = checksum_file(chosen) if is_sum else chosen
    content = data.draw(
        damaged(
            [checksum_file(path).read_bytes() for path in whole] * is_sum or list(whole.values())
        )
    )
    file.write_bytes(content)
    found = newest_intact(run)
    assert found in checkpoints(run)
    assert found.read_bytes() == whole[found]


SETTINGS = composed("data=digits", "model=supervised")
HYDRA = {"hydra": {"overrides": {"task": ["seed=3", "data=digits"], "hydra": ["hydra.x=1"]}}}
YAML = [OmegaConf.to_yaml(OmegaConf.create(content)).encode() for content in (SETTINGS, HYDRA)]
YAML += [
    b"a: &a [1, 2]\nb: [*a, *a]\n",
    b"a: !!python/name:os.system\n",
    b"- 1\n- x\n",
    b"a: &a [*a]",
]


@inputs(0.05, damaged(YAML))
def test_configuration_files(drawn, folder):
    for name in ("config.yaml", "multirun.yaml", ".hydra/hydra.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(drawn)
    config = OmegaConf.create(SETTINGS)
    classifier = Classifier(torch.nn.Identity(), (1, 4, 4), ["a"], "mlp")
    for read in (
        lambda: load_config(folder / "config.yaml"),
        lambda: changed_settings(folder, config),
        lambda: complete_arguments([f"resume={folder}"]),
        lambda: complete_arguments([f"sweep.resume={folder}", "seed=1"]),
        lambda: run_data(folder, classifier),
    ):
        with taken_or_refused():
            read()


STATUS = [
    json.dumps(asdict(Status(state, "no", 3, 9, host="here", pid=99)))
    for state in ("running", "finished", "failed")
]
METRICS = {"test_accuracy": 0.5, "test_errors": 1, "seconds": 2.0, "num_labeled": 77}
METRICS |= {"test_class_accuracy": {"a": 0.5}, "date": "2026-01-01T00:00:00+00:00"}
json_texts = damaged([text.encode() for text in [*STATUS, json.dumps(METRICS)]]) | values.map(
    lambda value: json.dumps(value).encode()
)


def record(fields):
    """JSON of some fields, one or two of other values."""
    edits = st.dictionaries(st.sampled_from(list(fields)), values, max_size=2)
    return edits.map(lambda changes: json.dumps(fields | changes).encode())


run_files = st.tuples(
    json_texts | record(asdict(Status("finished"))),
    json_texts | record(METRICS),
    st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=2),
)


def make_odd_run(folder, drawn):
    """A run of which any file may be damaged, beside one that is good; the folder of both."""
    status, metrics, changes = drawn
    reported = folder / "reported"
    for name in ("good", "odd"):
        if not (reported / name).exists():
            make_run(reported / name, "SGAN", 50, 0, 0.8)
    (reported / "odd" / FILE).write_bytes(status)
    (reported / "odd" / "metrics.json").write_bytes(metrics)
    config = yaml.safe_load((reported / "good" / "config.yaml").read_text())
    (reported / "odd" / "config.yaml").write_text(yaml.safe_dump(changed(config, changes)))
    return reported


@inputs(0.1, run_files)
def test_runs(drawn, folder):
    reported = make_odd_run(folder, drawn)
    assert isinstance(read_status(reported / "odd").iteration, int)
    runs = read_runs([reported])
    assert len(runs) == 2
    assert 1 <= len(summarize(runs)) <= 2
    assert len(paired_differences(runs)) <= 1
    assert facts(runs)
    alone = read_runs([reported / "odd"])
    assert len(summarize(alone)) <= 1
    assert len(paired_differences(alone)) == 0
    assert facts(alone)


@inputs(0.004, run_files)
def test_reports(drawn, folder):
    (folder / "report").mkdir(exist_ok=True)
    reported = make_odd_run(folder, drawn)
    for path in (reported, reported / "odd"):
        write_report(read_runs([path]), folder / "report")
    assert (folder / "report" / "report.html").is_file()


@functools.cache
def event_file():
    with tempfile.TemporaryDirectory() as name:
        scalars = {"loss": {1: 2.0, 2: 1.0, 3: 0.5}, "accuracy": {1: 0.1, 2: 0.2}}
        write_events(name, scalars, images=[1, 2])
        (path,) = Path(name).iterdir()
        return path.read_bytes()


def event_record(content):
    """A record of an event file, its checksums right whatever it holds."""
    file = io.BytesIO()
    RecordWriter(file).write(content)
    return file.getvalue()


@st.composite
def events(draw):
    """An event, as far as it goes a valid one."""
    event = Event(step=draw(st.integers(-(2**63), 2**63 - 1)), wall_time=draw(st.floats()))
    value = event.summary.value.add(tag=draw(st.sampled_from(["loss", SAMPLES, ""])))
    if draw(st.booleans()):
        value.simple_value = draw(st.floats(width=32))
    else:
        value.image.encoded_image_string = draw(damaged(IMAGES))
    return event.SerializeToString()


event_contents = damaged([event_file()]) | st.lists(events() | st.binary(max_size=40)).map(
    lambda contents: event_file() + b"".join(map(event_record, contents))
)


@inputs(0.05, event_contents)
def test_event_files(drawn, folder):
    path = folder / "events" / "events.out.tfevents.1.vm.2.3"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(drawn)
    points, samples = read_events(path.parent)
    if len(points):
        curves_figure({"SGAN": mean_curves([points])})
    if samples is not None:
        samples_figure({"SGAN": samples.encoded_image_string})
