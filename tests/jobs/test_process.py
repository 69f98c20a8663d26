import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from sgan_lab.errors import JobError
from sgan_lab.jobs import process
from sgan_lab.jobs.owner import own, release_all
from sgan_lab.jobs.process import end, run_in_process
from sgan_lab.jobs.status import read_status
from sgan_lab.signals import SIGNALS, Interrupted

WORKER = """
import os, pathlib, signal, sys, time
from sgan_lab.jobs.status import StatusFile
from sgan_lab.signals import end_at_once, handle_signals
handle_signals(end_at_once)
folder = pathlib.Path(sys.argv[1])
with StatusFile(folder, str):
    (folder / 'started').touch()
    {body}
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Has `run_in_process` run some Python in place of `sgan_lab.jobs.worker`."""
    popen = subprocess.Popen

    def use(body):
        def start(command, **options):
            assert command[:3] == [sys.executable, "-m", "sgan_lab.jobs.worker"]
            program = WORKER.replace("{body}", body)
            return popen([sys.executable, "-c", program, command[3]], **options)

        monkeypatch.setattr(process.subprocess, "Popen", start)
        return tmp_path

    yield use
    release_all()


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


def test_what_does_not_end_in_time_is_killed(monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 0.1)
    program = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stubborn:
        stubborn.stdout.readline()
        end(stubborn, signal.SIGTERM)
        assert stubborn.returncode == -signal.SIGKILL


def test_the_run_keeps_its_folder_owned_and_has_no_rank_of_others(worker, monkeypatch):
    for name in process.RANKS:
        monkeypatch.setenv(name, "1")
    folder = worker(
        "import json; from sgan_lab.jobs.owner import open_locked\n"
        "    locked = open_locked(folder / 'lock.json')[1]\n"
        "    names = [name for name in os.environ if 'RANK' in name]\n"
        "    links = [os.readlink(link.path) for link in os.scandir('/proc/self/fd')\n"
        "             if os.path.exists(link.path)]\n"
        "    inherited = sum(link.endswith('lock.json') for link in links) > 0\n"
        "    (folder / 'metrics.json').write_text(json.dumps([locked, names, inherited]))"
    )
    own(folder)
    assert run_in_process(folder) == [False, [], True]
    assert json.loads((folder / "lock.json").read_text())["pid"] == os.getpid()
