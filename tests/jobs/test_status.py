import json
import os
import platform
import subprocess
import sys
import time

import pytest

from sgan_lab.jobs.status import FILE, SILENCE, Status, StatusFile, read_status, write_status

WRONG = '{"state": "failed", "error": [], "iteration": "3"}'


def explain(error):
    return f"explained: {error}"


def test_a_run_is_running_then_finished(tmp_path):
    with StatusFile(tmp_path, explain) as status:
        running = read_status(tmp_path)
        status.progress = lambda: (7, 9)
    assert (running.state, running.pid) == ("running", os.getpid())
    finished = read_status(tmp_path)
    assert (finished.state, finished.error) == ("finished", None)
    assert (finished.iteration, finished.iterations) == (7, 9)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [(ValueError("bad"), "failed", "explained: bad"), (KeyboardInterrupt(), "interrupted", None)],
)
def test_an_error_is_recorded_and_goes_on(tmp_path, error, state, message):
    with pytest.raises(type(error)), StatusFile(tmp_path, explain):
        raise error
    assert read_status(tmp_path).state == state
    assert read_status(tmp_path).error == message


def test_a_killed_run_is_told_by_its_process(tmp_path):
    program = (
        "import os, pathlib, sys, sgan_lab.jobs.status as s\n"
        "with s.StatusFile(pathlib.Path(sys.argv[1]), str): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert json.loads((tmp_path / FILE).read_text())["state"] == "running"
    assert read_status(tmp_path).state == "killed"


def test_a_run_on_another_machine_is_told_by_its_heartbeat(tmp_path):
    write_status(tmp_path, Status("running", host=f"not-{platform.node()}", pid=1))
    assert read_status(tmp_path).state == "running"
    late = time.time() - SILENCE - 1
    os.utime(tmp_path / FILE, (late, late))
    assert read_status(tmp_path).state == "killed"


@pytest.mark.parametrize(
    "content", [*(None, "", "{", "[]", "[" * 9999, '{"other": 1}'), '{"state": 5}', WRONG]
)
def test_without_a_readable_status_it_is_unknown(tmp_path, content):
    if content is not None:
        (tmp_path / FILE).write_text(content)
    assert read_status(tmp_path).state == "unknown"


def test_a_process_that_cannot_be_is_none(tmp_path):
    write_status(tmp_path, Status("running", host=platform.node(), pid=2**70))
    assert read_status(tmp_path).state == "killed"
