import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from sgan_lab.jobs import identity
from sgan_lab.jobs.identity import exists, is_here, start_time, this_process


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_this_process_exists():
    assert exists(this_process()) is True
    assert is_here(this_process())


def test_another_program_with_the_same_number_is_another_process():
    """As after a restart of a container, where the program is process 1 again."""
    assert exists(replace(this_process(), started=this_process().started - 1)) is False


def test_a_process_of_an_earlier_boot_is_gone():
    rebooted = replace(this_process(), boot="00000000-0000-0000-0000-000000000000")
    assert exists(rebooted) is False
    assert not is_here(rebooted)


def test_a_process_of_another_machine_or_container_cannot_be_seen():
    assert exists(replace(this_process(), boot="another", host="another")) is None
    assert exists(replace(this_process(), namespace="pid:[1]")) is None


def test_a_killed_process_is_gone_even_before_its_parent_notices(child):
    process = replace(this_process(), pid=child.pid, started=start_time(child.pid))
    assert exists(process) is True
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # now a zombie
    assert exists(process) is False


def test_without_proc_the_number_and_the_host_decide(monkeypatch, tmp_path, child):
    monkeypatch.setattr(identity, "PROC", tmp_path)
    here = this_process()
    assert (here.started, here.boot, here.namespace) == (0, "", "")
    assert exists(here) is True
    ended = replace(here, pid=child.pid)
    assert exists(ended) is True
    child.kill()
    child.wait()
    assert exists(ended) is False
    assert exists(replace(here, host="another")) is None
