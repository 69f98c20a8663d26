"""Sweeps on a real Slurm of one node, see README.md; skipped where setup.sh has not started it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from sgan_lab.evaluation.checkpoint_files import checkpoints, iteration_of
from sgan_lab.jobs.status import read_status
from tests.processes import (
    TINY,
    read_events,
    started,
    starter_of,
    states,
    steps,
    succeed,
    wait_for,
    wait_for_checkpoint,
)

SMALL = ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"]
SLURM = ["hydra/launcher=slurm", *SMALL, "hydra.sweep.dir=sweep"]
SHORT = [*TINY, "model=supervised", "model.epochs=1"]
LONG = [*TINY, "iterations=1000000", "sample_interval=1000000"]
UNCOMPLETED = (
    r"The sweep failed: UncompletedJobError: Job \S+ .* no.* any output \(state: ENDED\)\n"
)


def is_loopback() -> bool:
    """Whether the Slurm that answers is that of setup.sh: the tests take its node down."""
    if shutil.which("scontrol") is None or "PYTEST_XDIST_WORKER" in os.environ:
        return False
    command = ["scontrol", "show", "config"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return re.search(r"ClusterName\s+= loopback\n", shown.stdout) is not None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_loopback(),
        reason="needs the Slurm of tests/slurm/setup.sh, SLURM_CONF as it says, and pytest -n 0",
    ),
]


def slurm(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def queue():
    return dict(line.split() for line in slurm("squeue", "-h", "-r", "-o", "%i %T").splitlines())


@pytest.fixture(autouse=True)
def _empty_queue():
    """No job is left behind."""
    yield
    resume = ["scontrol", "update", f"nodename={node()}", "state=resume"]
    subprocess.run(resume, capture_output=True, check=False)  # refused where it is not down
    for job in queue():
        subprocess.run(["scancel", "--full", job], check=False)
    wait_for(lambda: not queue())


def node():
    return slurm("sinfo", "-h", "-o", "%N").strip()


def submitted(sweep):
    return {path.name for path in (sweep / ".submitit").glob("[0-9]*")}


def job_of(sweep, number, state="RUNNING"):
    """The id of a job of a sweep in Slurm, once it is in a state."""

    def found():
        ours = {job: each for job, each in queue().items() if job in submitted(sweep)}
        return next(
            (job for job in ours if job.endswith(f"_{number}") and ours[job] == state), None
        )

    return wait_for(found)


def check_ended(process, output, errors, sweep, message):
    """A sweep with a job without a result: one line, a hint, no traceback."""
    assert process.returncode == 1
    assert re.fullmatch(message, errors), errors
    assert "Traceback" not in output
    assert f"sweep.resume={sweep}\n" in output


def check_whole(folder, iterations):
    """A run that was cut short and went on: nothing is lost or doubled."""
    events = read_events(folder)
    assert json.loads((folder / "metrics.json").read_text())["iterations"] == iterations
    assert steps(events, "test/accuracy") == [iterations]
    points = steps(events, "labeled/class_loss")
    assert points == sorted(set(points))
    assert points[-1] == iterations


def test_a_sweep_of_four_jobs_each_with_its_own_share_of_the_cores(command_line, tmp_path):
    """There is no accounting, so sacct fails; nobody hears of it."""
    arguments = [each for each in SHORT if not each.startswith("num_threads")]
    result = command_line("-m", *arguments, "seed=0,1,2,3", *SLURM)
    assert (result.returncode, result.stderr) == (0, "")
    sweep = tmp_path / "sweep"
    assert states(sweep) == dict.fromkeys((f"seed={seed}" for seed in range(4)), "finished")
    for path in sweep.glob("*/metrics.json"):
        assert json.loads(path.read_text())["num_threads"] == 1


def test_a_failing_job_leaves_the_others(command_line, tmp_path):
    arguments = [*TINY, "iterations=20", "model.labeled_learning_rate=1e-4,1e30"]
    result = command_line("-m", *arguments, *SLURM)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "real_loss is nan" in result.stderr.splitlines()[-1]
    assert sorted(states(tmp_path / "sweep").values()) == ["failed", "finished"]


def test_a_running_job_that_is_cancelled_has_saved(tmp_path):
    sweep = tmp_path / "sweep"
    long = sweep / "iterations=1000000"
    with started(tmp_path, "-m", *LONG, "iterations=1000000,20", *SLURM) as process:
        wait_for(lambda: read_status(long).iteration)
        slurm("scancel", job_of(sweep, 0))
        output, errors = process.communicate(timeout=120)
    check_ended(process, output, errors, sweep, UNCOMPLETED)
    assert "1 of 2 runs have no result" in output
    assert read_status(long).error == "interrupted: SIGTERM, a request to end"
    assert iteration_of(checkpoints(long / "checkpoints")[0]) == read_status(long).iteration
    assert states(sweep) == {"iterations=1000000": "interrupted", "iterations=20": "finished"}


def test_a_waiting_job_that_is_cancelled_is_not_waited_for(tmp_path):
    sweep = tmp_path / "sweep"
    one_by_one = "hydra.launcher.array_parallelism=1"
    arguments = [*TINY, "iterations=200", "seed=0,1"]
    with started(tmp_path, "-m", *arguments, *SLURM, one_by_one) as process:
        job_of(sweep, 0)
        slurm("scancel", job_of(sweep, 1, "PENDING"))
        output, errors = process.communicate(timeout=180)
    check_ended(process, output, errors, sweep, UNCOMPLETED)
    assert "1 of 2 runs have no result" in output
    assert states(sweep) == {"seed=0": "finished"}


def test_a_requeued_job_goes_on(tmp_path):
    sweep, folder = tmp_path / "sweep", tmp_path / "sweep" / "seed=0"
    arguments = [*TINY, "iterations=400", "sample_interval=20", "seed=0,1"]
    with started(tmp_path, "-m", *arguments, *SLURM) as process:
        wait_for_checkpoint(folder)
        slurm("scontrol", "requeue", job_of(sweep, 0))
        wait_for(lambda: read_status(folder).state == "interrupted")
        output, errors = process.communicate(timeout=400)
    assert (process.returncode, errors) == (0, ""), output
    assert output.count("finished: test accuracy") == 2
    check_whole(folder, 400)


@pytest.mark.parametrize("times", [0, 1])
def test_the_time_limit_saves_and_has_the_job_go_on(tmp_path, times):
    """An interval longer than the limit gets on, too. Slurm sends SIGUSR2 before the limit."""
    sweep, folder = tmp_path / "sweep", tmp_path / "sweep" / "job"
    limit = ["hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=20"]
    limit += [f"hydra.launcher.max_num_timeout={times}"]
    with started(tmp_path, "-m", *LONG, "hydra.sweep.subdir=job", *SLURM, *limit) as process:
        saved = 0
        for _ in range(times + 1):
            wait_for(lambda before=saved: read_status(folder).iteration > before, 400)
            wait_for(lambda: read_status(folder).state == "interrupted", 200)
            status = read_status(folder)
            assert status.error == "interrupted: SIGUSR2, a time limit"
            assert iteration_of(checkpoints(folder / "checkpoints")[0]) == status.iteration > saved
            saved = status.iteration
        output, errors = process.communicate(timeout=120)
    message = r"Error executing job .*\ninterrupted: SIGUSR2, a time limit\. Job not requeued .*\n"
    check_ended(process, output, errors, sweep, message)


@pytest.mark.parametrize("launcher", [SLURM[:-1], []])
def test_a_sweep_whose_submitter_was_killed_is_adopted(command_line, tmp_path, launcher):
    """One job is complete, one runs, one waits: none is submitted again."""
    sweep = tmp_path / "sweep"
    one_by_one = "hydra.launcher.array_parallelism=1"
    arguments = [*TINY, "iterations=100", "seed=0,1,2"]
    with started(tmp_path, "-m", *arguments, *SLURM, one_by_one) as process:
        wait_for(lambda: read_status(sweep / "seed=1").state == "running", 200)
        process.kill()
    before = submitted(sweep)
    result = succeed(command_line("sweep.resume=sweep", *launcher))
    assert "3 of 3 jobs are complete" in result.stdout
    assert "Slurm still has jobs of this sweep (1 pending, 1 running)" in result.stdout
    assert submitted(sweep) == before
    assert set(states(sweep).values()) == {"finished"}
    for seed in range(3):
        check_whole(sweep / f"seed={seed}", 100)


def test_a_resumed_sweep_submits_only_what_is_left(command_line, tmp_path):
    sweep = tmp_path / "sweep"
    succeed(command_line("-m", *SHORT, "seed=0,1", *SLURM))
    (sweep / "seed=1" / "metrics.json").unlink()
    before = submitted(sweep)
    succeed(command_line("sweep.resume=sweep", *SLURM[:-1]))
    assert set(states(sweep).values()) == {"finished"}
    (again,) = submitted(sweep) - before
    assert again.isdecimal()  # one job, no array


def test_after_ctrl_c_it_says_what_goes_on(tmp_path):
    sweep = tmp_path / "sweep"
    one_by_one = "hydra.launcher.array_parallelism=1"
    with started(tmp_path, "-m", *LONG, "seed=0,1", *SLURM, one_by_one) as process:
        wait_for(lambda: read_status(sweep / "seed=0").iteration)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    jobs = " ".join(queue())
    assert f"(1 pending, 1 running). To cancel them: scancel {jobs}" in output
    assert f"sweep.resume={sweep}\n" in output
    assert read_status(sweep / "seed=0").state == "running"


@pytest.mark.parametrize("requeue", [False, True])
def test_a_failed_node(tmp_path, requeue):
    """Slurm queues its jobs again, unless that is not allowed."""
    sweep, folder = tmp_path / "sweep", tmp_path / "sweep" / "job"
    arguments = [
        *TINY,
        "iterations=400" if requeue else LONG[-2],
        "sample_interval=20",
        "hydra.sweep.subdir=job",
    ]
    again = [] if requeue else ["+hydra.launcher.additional_parameters={no-requeue: true}"]
    with started(tmp_path, "-m", *arguments, *SLURM, *again) as process:
        wait_for_checkpoint(folder)
        slurm("scontrol", "update", f"nodename={node()}", "state=down", "reason=test")
        if requeue:
            slurm("scontrol", "update", f"nodename={node()}", "state=resume")
        output, errors = process.communicate(timeout=400)
    if requeue:
        assert (process.returncode, errors) == (0, ""), output
        check_whole(folder, 400)
    else:
        check_ended(process, output, errors, sweep, UNCOMPLETED)
        wait_for(lambda: read_status(folder).state in ("interrupted", "killed"))


@pytest.mark.parametrize("killed", ["the launcher's process", "the run's process"])
def test_a_killed_job_is_one_line(tmp_path, killed):
    sweep = tmp_path / "sweep"
    long = sweep / "iterations=1000000"
    with started(tmp_path, "-m", *LONG, "iterations=1000000,20", *SLURM) as process:
        wait_for(lambda: read_status(long).iteration)
        run, starter = read_status(long).pid, starter_of(long)
        os.kill(run if killed == "the run's process" else starter, signal.SIGKILL)
        output, errors = process.communicate(timeout=120)
    message = UNCOMPLETED
    if killed == "the run's process":
        message = r"Error executing job .*\nkilled by SIGKILL\n"
    check_ended(process, output, errors, sweep, message)
    assert states(sweep)["iterations=20"] == "finished"


def test_forty_tiny_jobs(tmp_path):
    seeds = ",".join(map(str, range(40)))
    two_at_once = "hydra.launcher.array_parallelism=2"
    with started(tmp_path, "-m", *SHORT, f"seed={seeds}", *SLURM, two_at_once) as process:
        output, errors = process.communicate(timeout=1800)
    assert (process.returncode, errors) == (0, ""), output
    assert list(states(tmp_path / "sweep").values()) == ["finished"] * 40


def test_what_sbatch_refuses_is_told_in_its_words(command_line):
    result = command_line("-m", *SHORT, "seed=0,1", *SLURM, "hydra.launcher.partition=nope")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "invalid partition specified: nope" in result.stderr.splitlines()[-1]
    assert "report.md" not in result.stdout


@pytest.mark.parametrize("missing", ["srun", "sbatch"])
def test_without_slurm_it_is_one_line(command_line, tmp_path, missing):
    (tmp_path / "bin").mkdir()
    if missing == "sbatch":
        (tmp_path / "bin" / "srun").symlink_to(shutil.which("srun"))
    result = command_line("-m", *SHORT, "seed=0,1", *SLURM, PATH=str(tmp_path / "bin"))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert missing in result.stderr


def test_one_run_in_two_processes(command_line, tmp_path):
    arguments = [*TINY[:-1], "iterations=20", "trainer=ddp", "trainer.devices=2"]
    arguments += ["trainer.accelerator=cpu", "seed=0,1"]
    result = command_line("-m", *arguments, *SLURM, "hydra.launcher.cpus_per_task=2")
    assert (result.returncode, result.stderr) == (0, "")
    assert list(states(tmp_path / "sweep").values()) == ["finished"] * 2
    assert not list((tmp_path / "sweep").glob("*/lock.json"))


@pytest.mark.parametrize("prefix", ["", "srun "])
def test_a_script_of_the_users_own_with_two_tasks(tmp_path, prefix):
    """A run is one process, whatever Slurm says; srun starts it once for each task."""
    run = [sys.executable, "-m", "sgan_lab.run", *SHORT, "hydra.run.dir=run$SLURM_PROCID"]
    script = f"#!/bin/bash\n{prefix}bash -c 'exec {' '.join(run)}'\n"
    (tmp_path / "job.sh").write_text(script)
    options = ["-n2", "--wait", f"--chdir={tmp_path}", "--output=out"]
    slurm("sbatch", *options, str(tmp_path / "job.sh"))
    tasks = ["run0", "run1"] if prefix else ["run0"]  # the script itself is process 0
    runs = {path.name: read_status(path).state for path in tmp_path.glob("run*")}
    assert runs == dict.fromkeys(tasks, "finished")
    assert "arning" not in (tmp_path / "out").read_text()
