import math

import pandas as pd
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from sgan_lab.report.events import POINTS, mean_curves, read_events
from tests.builders import write_events


def curve(values):
    """Points of one scalar as `read_events` returns them."""
    rows = [("loss", iteration, value) for iteration, value in values.items()]
    return pd.DataFrame(rows, columns=["scalar", "iteration", "value"])


def test_scalars_and_the_last_images_are_read(tmp_path):
    folder = tmp_path / "0_data.image_size=[64,48],seed=0"
    loss = {10: 2.0, 20: 1.0, 30: 0.5}
    write_events(folder, {"loss": loss, "test/accuracy": {30: 0.9}}, images=[10, 20, 30])
    write_events(folder, {"test/accuracy": {30: 0.9}}, images=[])  # of a run that was resumed
    points, samples = read_events(folder)
    assert points.values.tolist() == [["loss", 10, 2.0], ["loss", 20, 1.0], ["loss", 30, 0.5]]
    assert samples.step == 30
    assert samples.encoded_image_string.startswith(b"\x89PNG")


def test_a_clock_that_is_set_back_hides_nothing_of_a_resumed_run(tmp_path):
    """The files are read by the times in their names; each begins with the step it begins after."""
    for start, name in ((0, "2000000000"), (20, "1000000000")):
        loss = {step: float(step) for step in (start + 10, start + 20)}
        write_events(tmp_path, {"loss": loss}, images=[start + 20], purge_step=start + 1)
        (new,) = tmp_path.glob("events.out.tfevents.17*")
        new.rename(tmp_path / f"events.out.tfevents.{name}.vm.1.0")
    points, samples = read_events(tmp_path)
    assert points.values.tolist() == [["loss", step, float(step)] for step in (10, 20, 30, 40)]
    assert samples.step == 40


@pytest.mark.parametrize("content", [None, b"", b"no events"])
def test_a_run_without_readable_events_has_none(tmp_path, content):
    if content is not None:
        (tmp_path / "events.out.tfevents.1.vm.2.3").write_bytes(content)
    points, samples = read_events(tmp_path)
    assert len(points) == 0
    assert samples is None


def test_curves_of_single_classes_are_left_out(tmp_path):
    curve = {10: 0.1, 20: 0.2}
    names = ["validation/class_accuracy/cat", "validation/accuracy", "own/class_accuracy/x"]
    write_events(tmp_path, dict.fromkeys(names, curve))
    assert set(read_events(tmp_path).points.scalar) == set(names[1:])


def test_a_long_curve_is_means_over_bins_of_iterations():
    runs = [{step: math.sin(step + seed) for step in range(10, 8001, 10)} for seed in range(2)]
    table = mean_curves([curve(run) for run in runs])
    assert len(table) == POINTS
    width = 8000 // POINTS
    for number, row in enumerate(table.to_dict("records")):
        steps = range(number * width + 10, (number + 1) * width + 1, 10)
        means = [sum(run[step] for step in steps) / len(steps) for run in runs]
        assert row["iteration"] == sum(steps) / len(steps)
        assert row["mean"] == pytest.approx(sum(means) / 2)
        assert (row["low"], row["high"]) == pytest.approx((min(means), max(means)))


def test_a_short_curve_keeps_its_points():
    table = mean_curves([curve({4: 1.0, 8: 2.0, 12: 6.0}), curve({4: 3.0, 8: 2.0, 12: 0.0})])
    assert table.iteration.tolist() == [4, 8, 12]
    assert table["mean"].tolist() == [2, 2, 3]
    assert table.low.tolist() == [1, 2, 0]
    assert table.high.tolist() == [3, 2, 6]


def test_damaged_events_are_read_up_to_the_damage(tmp_path, caplog):
    write_events(tmp_path, {"loss": {10: 2.0, 20: 1.0}}, images=[10])
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        RecordWriter(file).write(b"no event, but with a checksum")
    points, samples = read_events(tmp_path)
    assert points.iteration.tolist() == [10, 20]
    assert samples.step == 10
    assert f"Events in {tmp_path} are damaged" in caplog.text


def test_damaged_images_are_left_out(tmp_path):
    write_events(tmp_path, {"loss": {10: 2.0, 20: 1.0}})
    (path,) = tmp_path.iterdir()
    event = Event(step=20)
    event.summary.value.add(tag="generator/images").image.encoded_image_string = b"\x89PNG"
    with path.open("ab") as file:
        RecordWriter(file).write(event.SerializeToString())
    points, samples = read_events(tmp_path)
    assert (len(points), samples) == (2, None)
