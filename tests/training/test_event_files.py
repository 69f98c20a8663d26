"""The event files of a run whose processes had other clocks, as TensorBoard reads them."""

import pytest

from sgan_lab.training.event_files import let_next_be_last
from tests.builders import write_events
from tests.processes import read_events, steps


@pytest.mark.parametrize("names", [["1000000000", "1000003600"], ["4000000000", "4000003600"]])
def test_what_is_written_last_is_shown_whatever_the_clock_was_before(tmp_path, names):
    for number, name in enumerate(names):
        first = 20 * number + 10
        loss = {first: 1.0, first + 10: 1.0}
        write_events(tmp_path, {"loss": loss}, purge_step=first - 9)
        (new,) = set(tmp_path.glob("events*")) - set(tmp_path.glob("events*.host"))
        new.rename(tmp_path / f"events.out.tfevents.{name}.host")
    (tmp_path / "events.out.tfevents.odd").touch()
    let_next_be_last(tmp_path)
    write_events(tmp_path, {"loss": {50: 1.0, 60: 1.0}}, purge_step=41)
    assert steps(read_events(tmp_path), "loss") == [10, 20, 30, 40, 50, 60]


def test_names_in_order_stay_as_they_are(tmp_path):
    names = ["events.out.tfevents.1000000000.host", "notes.txt"]
    for name in names:
        (tmp_path / name).touch()
    let_next_be_last(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
