import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from sgan_lab.errors import JobError
from sgan_lab.jobs import process
from sgan_lab.jobs import worker as jobs_worker
from sgan_lab.jobs.owner import own, release_all
from sgan_lab.jobs.process import end, run_in_process
from sgan_lab.jobs.status import StatusFile, read_status
from sgan_lab.jobs.worker import run_forked
from sgan_lab.signals import SIGNALS, Interrupted


def run_body(body, folder):
    """Some Python in place of a run, with its status.json."""
    with StatusFile(folder, str):
        (folder / "started").touch()
        exec(body, {**globals(), "folder": folder})


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Has the process of a run run some Python in place of `worker.run`."""

    def use(body):
        monkeypatch.setattr(process.worker, "run_forked", partial(forked, body))
        return tmp_path

    yield use
    release_all()


def forked(body, folder, *arguments):
    """`run_forked` with some Python in place of `worker.run`."""
    jobs_worker.run = lambda *_: run_body(body, folder)
    run_forked(folder, *arguments)


def send_when_started(folder, number):
    def send():
        while not (folder / "started").exists():
            pass
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()


def test_the_result_of_a_run(worker):
    folder = worker("(folder / 'metrics.json').write_text('{\"a\": 1}')")
    assert run_in_process(folder) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "state", "message"),
    [
        ("raise ValueError('bad')", "failed", "bad"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed", "killed by SIGKILL"),
        ("os._exit(7)", "failed", "its process ended with exit status 7"),
        ("os.kill(os.getpid(), signal.SIGUSR1)", "interrupted", "interrupted: SIGUSR1, a time"),
    ],
)
def test_a_run_that_does_not_finish(worker, body, state, message):
    folder = worker(body)
    with pytest.raises(JobError, match=message):
        run_in_process(folder)
    assert read_status(folder).state == state


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_is_passed_on_before_the_launchers_own_handler_runs(worker, number):
    """As submitit's, which has a job queued again that must have saved by then."""
    folder = worker("time.sleep(60)")
    states = []
    before = signal.signal(number, lambda *_: states.append(read_status(folder).state))
    try:
        send_when_started(folder, number)
        with pytest.raises(Interrupted) as ended:
            run_in_process(folder)
        assert signal.getsignal(number) is not before
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert states == ["interrupted"]
    assert read_status(folder).error == f"interrupted: {number.name}, {SIGNALS[number]}"


def test_an_error_of_the_launchers_handler_is_one_of_the_job(worker):
    folder = worker("time.sleep(60)")

    def fail(*_):
        raise RuntimeError("Job not requeued because: timed-out too many times.")

    before = signal.signal(signal.SIGUSR2, fail)
    try:
        send_when_started(folder, signal.SIGUSR2)
        with pytest.raises(JobError, match=r"SIGUSR2, a time limit. Job not requeued because: "):
            run_in_process(folder)
    finally:
        signal.signal(signal.SIGUSR2, before)


def be_stubborn(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(60)


def test_what_does_not_end_in_time_is_killed(monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 0.1)
    ready = process.FORKED.Event()
    stubborn = process.FORKED.Process(target=be_stubborn, args=(ready,))
    stubborn.start()
    ready.wait()
    end(stubborn, signal.SIGTERM)
    assert stubborn.exitcode == -signal.SIGKILL


LOOK = """
import re
from pathlib import Path
from sgan_lab.jobs.owner import open_locked
names = [name for name in os.environ if "RANK" in name]
links = [os.readlink(link.path) for link in os.scandir("/proc/self/fd") if os.path.exists(link)]
found = [open_locked(folder / "lock.json")[1], names, f"{folder}/lock.json" in links]
found += [os.environ["OF_THE_JOB"], str(Path.cwd())]
blocked = re.search("SigBlk:(.*)", Path(f"/proc/{os.getppid()}/status").read_text())[1]
found += [[int(each) for each in SIGNALS if not int(blocked, 16) >> each - 1 & 1]]
(folder / "metrics.json").write_text(json.dumps(found))
"""


def test_what_the_server_imports_starts_no_thread_and_asks_for_no_gpu():
    """Neither survives a fork."""
    program = (
        "import os, torch; from importlib import import_module\n"
        "from sgan_lab.jobs.process import IMPORTED\n"
        "def ask(): raise AssertionError('a GPU was asked for')\n"
        "torch._C._cuda_getDeviceCount = torch.cuda.device_count = torch.cuda.is_available = ask\n"
        "for name in IMPORTED: import_module(name)\n"
        "assert len(os.listdir('/proc/self/task')) == 1"
    )
    # OpenBLAS has threads of its own, which it stops before a fork.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_run_keeps_its_folder_owned_and_has_the_place_and_environment_of_its_job(
    worker, monkeypatch
):
    """It has no rank of others."""
    for name in process.RANKS:
        monkeypatch.setenv(name, "1")
    folder = worker(LOOK)
    monkeypatch.chdir(folder)
    own(folder)
    for text in ("first", "second"):
        monkeypatch.setenv("OF_THE_JOB", text)
        assert run_in_process(folder) == [False, [], True, text, str(folder), []]
    assert json.loads((folder / "lock.json").read_text())["pid"] == os.getpid()
