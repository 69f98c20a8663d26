import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from sgan_lab.errors import InUseError
from sgan_lab.jobs import owner
from sgan_lab.jobs.identity import this_process
from sgan_lab.jobs.owner import FILE, own, owned, release
from sgan_lab.jobs.status import FILE as STATUS
from sgan_lab.jobs.status import SILENCE, Status, read_status, write_status
from tests.processes import (
    PROGRAM,
    RUN,
    TINY,
    ending,
    owner_of,
    read_events,
    results,
    started,
    steps,
    wait_for,
    wait_for_checkpoint,
)

PAIRS = int(os.environ.get("SGAN_LAB_PAIRS", "1"))  # 20 for a thorough test by hand


@pytest.fixture
def holder(tmp_path):
    """A process that owns tmp_path."""
    with owner_of(tmp_path) as process:
        yield process


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(owner.fcntl, "flock", refuse)
    monkeypatch.setattr(owner, "SETTLE", 0)


def write_owner(folder, **changes):
    (folder / FILE).write_text(json.dumps(asdict(replace(this_process(), **changes))))


def test_a_second_process_is_refused_and_told_what_to_do(tmp_path, holder):
    before = (tmp_path / FILE).read_text()
    with pytest.raises(InUseError) as refused:
        own(tmp_path)
    assert f"process {holder.pid} on " in str(refused.value)
    assert f"delete {tmp_path / FILE}" in str(refused.value)
    assert (tmp_path / FILE).read_text() == before
    (tmp_path / FILE).unlink()
    with owned(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_owner_frees_the_folder_though_its_number_is_in_use_again(tmp_path, holder):
    holder.kill()
    holder.wait()
    record = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(record | {"pid": os.getpid()}))
    with owned(tmp_path):
        pass


def test_a_process_that_was_started_for_the_folder_keeps_it_owned(tmp_path):
    own(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        pass_fds=owner.descriptors(tmp_path),
    ) as child:
        owner.held.pop(tmp_path).close()  # as a kill -9 of this process would
        with pytest.raises(InUseError):
            own(tmp_path)
        child.kill()
        child.wait()
        with owned(tmp_path):
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "[" * 9999])
def test_a_damaged_record_of_no_owner_is_replaced(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with owned(tmp_path):
        assert owner.owner(tmp_path / FILE) == this_process()


def test_waiting_for_the_owner(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(owner, "POLL", 0.1)
    threading.Timer(0.5, holder.kill).start()
    with owned(tmp_path, wait=True):
        assert holder.wait() < 0


def test_on_another_machine_the_heartbeat_decides(tmp_path, monkeypatch):
    """With a lock, too, which may be kept to each machine."""
    monkeypatch.setattr(owner, "WATCH", 1)
    write_owner(tmp_path, host="another", boot="another")
    write_status(tmp_path, Status("running", host="another", boot="another"))
    with pytest.raises(InUseError, match="on another"):
        own(tmp_path)
    old = time.time() - SILENCE - 60
    os.utime(tmp_path / FILE, (old, old))
    os.utime(tmp_path / STATUS, (old, old))
    with owned(tmp_path):
        pass


def test_an_old_heartbeat_of_a_clock_that_is_late_is_seen_to_beat(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "WATCH", 1)
    write_owner(tmp_path, host="another", boot="another")
    write_status(tmp_path, Status("running", host="another", boot="another"))
    ended = threading.Event()

    def beat():
        while not ended.wait(0.1):
            late = time.time() - SILENCE - 60
            os.utime(tmp_path / STATUS, (late, late))

    old = time.time() - SILENCE - 60
    os.utime(tmp_path / FILE, (old, old))
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        time.sleep(0.2)
        with pytest.raises(InUseError):
            own(tmp_path)
    finally:
        ended.set()
        thread.join()


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_record_decides(tmp_path):
    with owned(tmp_path):
        with pytest.raises(InUseError, match=f"process {os.getpid()}"):
            own(tmp_path)
        release(tmp_path / "another")
        assert owner.owner(tmp_path / FILE) == this_process()
    write_owner(tmp_path, started=1)  # a killed one
    with owned(tmp_path):
        pass
    write_owner(tmp_path, started=1)  # a killed one whose run has not yet ended
    here = {key: value for key, value in asdict(this_process()).items() if key != "since"}
    write_status(tmp_path, Status("running", **here))
    with pytest.raises(InUseError):
        own(tmp_path)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_last_of_two_that_write_at_once_owns(tmp_path, monkeypatch):
    monkeypatch.setattr(owner.time, "sleep", lambda _: write_owner(tmp_path, pid=1, started=1))
    with pytest.raises(InUseError, match="process 1 "):
        own(tmp_path)


@pytest.fixture
def container():
    """A command whose process is number 1 of a PID namespace, and is killed with it."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make PID namespaces")
    return command


def test_process_1_of_a_restarted_container_is_not_its_own_predecessor(tmp_path, container):
    starts = set()
    for _ in range(20):
        with owner_of(tmp_path, *container):
            record = json.loads((tmp_path / FILE).read_text())
            with pytest.raises(InUseError):
                own(tmp_path)
        assert record["pid"] == 1
        starts.add(record["started"])
    assert len(starts) == 20


def test_of_many_at_once_exactly_one_owns(tmp_path):
    program = (
        "import pathlib, sys, time, sgan_lab.jobs.owner as o\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "while not (folder / 'go').exists(): time.sleep(0.001)\n"
        "try: o.own(folder)\n"
        "except o.InUseError: sys.exit(3)\n"
        "time.sleep(2)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(8)]
    time.sleep(2)
    (tmp_path / "go").touch()
    assert sorted(process.wait() for process in processes) == [0] + [3] * 7


def test_of_two_runs_in_one_folder_exactly_one_trains(tmp_path):
    """The other one leaves what the first has written."""
    folder, arguments = tmp_path / "run", [*TINY, "iterations=1000000", "hydra.run.dir=run"]
    with started(tmp_path, *arguments, "seed=1") as one, started(tmp_path, *arguments) as other:
        refused = wait_for(lambda: next((p for p in (one, other) if p.poll() is not None), None))
        winner = other if refused is one else one
        wait_for(lambda: read_status(folder).iteration)
        assert winner.poll() is None
        assert refused.returncode == 1
        who = f"(process {winner.pid} on {platform.node()}|another process)"  # not yet written
        assert re.fullmatch(
            f"{folder} is in use by {who}. If that process is gone, delete {folder / FILE} and try"
            " again.\n",
            refused.stderr.read(),
        )
        assert f"seed: {int(winner is one)}\n" in (folder / "config.yaml").read_text()
        assert read_status(folder).pid == winner.pid


def test_a_run_killed_as_process_1_of_a_container_goes_on_in_the_next(
    tmp_path, container, whole_run
):
    """It is number 1 again, and nothing is lost or doubled."""
    for number in range(PAIRS):
        folder = tmp_path / f"run{number}"
        arguments = [*RUN, "iterations=40", f"hydra.run.dir={folder.name}"]
        command = [*container, *PROGRAM]
        silent = {"cwd": tmp_path, "stdout": subprocess.DEVNULL}
        with ending(subprocess.Popen([*command, *arguments], **silent)) as process:
            wait_for_checkpoint(folder)
            assert read_status(folder).pid == 1
            process.kill()
        subprocess.run([*command, f"resume={folder.name}"], **silent, check=True)
        assert results(folder) == results(whole_run)
        assert steps(read_events(folder), "test/accuracy") == [40]


def test_pairs_of_resumes_at_once_lose_and_double_nothing(tmp_path, whole_run):
    killed = tmp_path / "killed"
    with started(tmp_path, *RUN, "iterations=40", "hydra.run.dir=killed") as process:
        wait_for_checkpoint(killed)
        process.kill()
    files = len(list(killed.glob("events.out.*")))
    for number in range(PAIRS):
        folder = tmp_path / f"pair{number}"
        shutil.copytree(killed, folder)
        resume = f"resume=pair{number}"
        with started(tmp_path, resume) as one, started(tmp_path, resume) as other:
            outputs = {process: process.communicate(timeout=300) for process in (one, other)}
        trained, refused = sorted(outputs, key=lambda process: process.returncode)
        assert (trained.returncode, refused.returncode) == (0, 1), outputs
        message = outputs[refused][1]
        assert message.count("\n") == 1
        assert "in use by process" in message or "has finished" in message
        assert results(folder) == results(whole_run)
        assert len(list(folder.glob("events.out.*"))) == files + 2  # of training and its result
        assert steps(read_events(folder), "test/accuracy") == [40]
        assert not (folder / FILE).exists()
