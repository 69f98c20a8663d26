"""Sweeps: the check of all jobs before the first one starts, the progress, and the end."""

import contextlib
import itertools
import json
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from sgan_lab.config.checks import EXPLAINED, check_values, exit_on_error, explain
from sgan_lab.config.settings import experiment_settings
from sgan_lab.errors import ConfigError, DataError
from sgan_lab.evaluation.metrics import METRICS, check_metric, title
from sgan_lab.jobs import cluster, owner
from sgan_lab.jobs.checks import check_folder, check_loggers
from sgan_lab.jobs.cluster import slurm_jobs
from sgan_lab.jobs.grid import Grid
from sgan_lab.jobs.process import run_in_process
from sgan_lab.jobs.resume import (
    EXCLUDED,
    SWEEP,
    changed_settings,
    check_resumed_sweep,
    complete_settings,
    described,
    is_complete,
    to_go_on,
)
from sgan_lab.jobs.status import FILE, Status, read_status, write_status

POLL = 1  # seconds between two looks at the jobs' states


def sweep_overrides(config: DictConfig) -> list[Override]:
    """The overrides of a sweep: those of its experiment, then those of the command line."""
    arguments = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return parser.parse_overrides(arguments + list(config.hydra.overrides.task))


def name_by_swept(config: DictConfig) -> None:
    """Name the jobs of a sweep by the overrides in which they differ, if they do."""
    overrides = sweep_overrides(config)
    swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
    fixed = [override.key_or_group for override in overrides if override.key_or_group not in swept]
    if swept:
        with read_write(config):
            config.hydra.overrides.hydra += [f"{EXCLUDED}={[*fixed, SWEEP]}"]


def sweep_jobs(config: DictConfig) -> Grid | None:
    """The jobs of a sweep; None for a sweeper that decides as it goes."""
    if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
        return None
    return Grid(config, GlobalHydra.instance().config_loader(), sweep_overrides(config))


def skip_complete(config: DictConfig, jobs: Grid | None) -> None:
    """Take the jobs that are complete out of those of a resumed sweep.

    Raises:
        ConfigError: the sweeper has none before it begins.
        DataError: a run of the sweep is damaged.
    """
    if jobs is None:
        allowed = "resumes grids only; this sweeper's own storage resumes its sweeps"
        raise ConfigError(SWEEP, config.sweep.resume, allowed)
    complete, number = complete_settings(Path(config.sweep.resume)), len(jobs)
    left = [frozenset(experiment_settings(job).items()) not in complete for job in jobs]
    jobs.jobs = list(itertools.compress(jobs.jobs, left))
    print(f"{number - len(jobs)} of {number} jobs are complete and will be skipped.")


def check_sweep(config: DictConfig, jobs: Grid | None) -> None:
    """Check all values of a sweep, then its folders; of unknown jobs (None) those that all have."""
    checked = [config] if jobs is None else jobs
    for job in checked:
        check_values(job)
    check_metric("sweep.metric", config.sweep.metric)
    if jobs is None and not config.data.num_validation:
        allowed = "must be > 0 for a sweeper that chooses settings by the validation accuracy"
        raise ConfigError("data.num_validation", config.data.num_validation, allowed)
    for job in checked:
        check_threads(job, parallel_jobs(config, len(jobs or [])))
    if jobs is not None:
        check_different(jobs)
        for job in jobs:
            check_loggers(job)
    if config.sweep.resume is None:  # makes the folder, so only once all else is known to be good
        check_folder("hydra.sweep.dir", config.hydra.sweep.dir)
    else:
        check_resumed_sweep(config, jobs)


def check_different(jobs: Grid) -> None:
    """Raise a ConfigError where jobs of a sweep have the same settings, and so the same folder."""
    folders = Counter(job.hydra.sweep.subdir for job in jobs)
    for folder, count in folders.items():
        if count > 1:
            raise ConfigError("hydra.sweep.subdir", folder, f"would be the folder of {count} jobs")


def parallel_jobs(config: DictConfig, num_jobs: int) -> int:
    """How many jobs a sweep runs at the same time on this machine."""
    launcher, sweeper = config.hydra.launcher, config.hydra.sweeper
    batch = sweeper.get("n_jobs") or sweeper.get("max_batch_size") or num_jobs
    if launcher._target_.endswith(".LocalLauncher"):
        return batch
    if not launcher._target_.endswith(".JoblibLauncher"):
        return 1
    from joblib import effective_n_jobs

    return min(effective_n_jobs(launcher.n_jobs), batch)


def check_threads(config: DictConfig, num_parallel: int) -> None:
    """Raise a ConfigError where parallel jobs together have more threads than there are cores.

    Where `num_threads` is null, OMP_NUM_THREADS gives each job its share of the cores.
    """
    if num_parallel <= 1:
        return
    from joblib import cpu_count

    cores = cpu_count()
    if num_parallel > cores:
        has_limit = "n_jobs" in config.hydra.launcher
        key = "hydra.launcher.n_jobs" if has_limit else "hydra.sweeper.max_batch_size"
        raise ConfigError(key, num_parallel, f"must be at most {cores}, the number of cores")
    limit = cores // num_parallel
    if config.num_threads is not None and config.num_threads > limit:
        allowed = f"must be 1 to {limit} or null with {num_parallel} jobs at once on {cores} cores"
        raise ConfigError("num_threads", config.num_threads, allowed)
    os.environ["OMP_NUM_THREADS"] = str(limit)


def clear(folder: Path) -> None:
    """Remove the files of a run with other settings, except its log and Hydra's files."""
    for path in folder.iterdir():
        if path.name in (".hydra", "run.log", owner.FILE):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def run_job(config: DictConfig, folder: Path, number: int) -> dict[str, Any]:
    """Run a job of a sweep in a process of its own, unless it is complete; returns metrics.json.

    Where an earlier process still runs the job, a resumed sweep waits for it and takes its result.
    So does a job that Slurm has queued again, as after the failure of its node. A job that waited
    in a queue until another process had its run complete changes nothing.

    Raises:
        InUseError: another process runs it, and is not waited for.
        UserError: the job has failed; its status.json says so.
    """
    is_again = config.sweep.resume is not None or "SLURM_RESTART_COUNT" in os.environ
    with owner.owned(folder, wait=is_again):
        changed = changed_settings(folder, config)
        if is_complete(folder):
            if changed:  # it was completed while this job waited
                raise ConfigError(SWEEP, folder, f"is complete with {described(changed)}")
            print(f"#{number} is complete: skipped.")
            return json.loads((folder / "metrics.json").read_text())
        if changed:
            clear(folder)
        try:
            check_values(config)  # again, since a sweeper may have chosen other values
            OmegaConf.save(config, folder / "config.yaml", resolve=True)
        except Exception as error:
            write_status(folder, Status("failed", explain(error)))
            raise
        return run_in_process(folder, prefix=f"#{number} ")


class Sweep(Callback):
    """Hydra callback: checks a sweep before it starts and shows its progress."""

    running: ClassVar["SweepProgress | None"] = None
    left: ClassVar[list[list[str]]] = []  # the overrides of each job to run

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """End the program with one message where a job is not allowed."""
        with exit_on_error((Exception,)):
            if config.sweep.resume:
                cluster.wait_for_jobs(Path(config.sweep.resume))
            if config.hydra.launcher._target_.endswith(".SlurmLauncher"):
                cluster.ask_squeue()
            name_by_swept(config)
            jobs = sweep_jobs(config)
            if config.sweep.resume:
                skip_complete(config, jobs)
            check_sweep(config, jobs)
        if jobs is not None:
            Sweep.left = jobs.jobs
            config.hydra.sweeper._target_ = "hydra_plugins.sgan_lab_sweeper.GridSweeper"
        number = len(Sweep.left) or config.hydra.sweeper.get("n_trials")
        folder = Path(config.hydra.sweep.dir).absolute()
        Sweep.running = SweepProgress(folder, number, config.sweep.metric)
        Sweep.running.start()


class SweepProgress(threading.Thread):
    """Shows the jobs of a sweep from their status.json: bars while they run, then a line each.

    Attributes:
        num_jobs: to run; None where that is not known.
        metric: the name of the metric that is shown of a finished job.
        started: folder of each job that runs or has run.
        ended: state of each of them that has ended, by its folder.
    """

    def __init__(self, folder: Path, num_jobs: int | None, metric: str) -> None:
        from sgan_lab.jobs.terminal import JobsProgress  # rich takes its time

        super().__init__(daemon=True)
        self.folder = folder
        self.num_jobs = num_jobs
        self.metric = metric
        self.before = {file: file.stat().st_mtime_ns for file in folder.rglob(FILE)}
        self.stopped = threading.Event()
        self.started: set[Path] = set()
        self.ended: dict[Path, str] = {}
        self.progress = JobsProgress(num_jobs)

    @property
    def num_missing(self) -> int:
        """How many jobs have not started; 0 where the number of jobs is not known."""
        return max((self.num_jobs or 0) - len(self.started), 0)

    def is_finished(self) -> bool:
        """Whether all jobs have finished."""
        states = [self.ended.get(folder) for folder in self.started]
        return not self.num_missing and all(state == "finished" for state in states)

    def stop(self) -> None:
        """End the progress after a last look; again without effect."""
        self.stopped.set()
        self.join()

    def wait_for_jobs(self) -> None:
        """Wait for the jobs that Slurm still has, and for all that still run."""
        cluster.wait_for_jobs(self.folder)
        while any(read_status(file.parent).state == "running" for file in self.folder.rglob(FILE)):
            time.sleep(POLL)

    def run(self) -> None:
        """Look at the jobs until the sweep ends."""
        with self.progress:
            while not self.stopped.wait(POLL):
                with contextlib.suppress(FileNotFoundError):  # jobs clear their folders
                    self.look()
            self.look()

    def look(self) -> None:
        """Show each job that runs, and once each that has ended."""
        for file in sorted(self.folder.rglob(FILE)):
            folder, written = file.parent, file.stat().st_mtime_ns
            if written == self.before.get(file):
                continue
            self.started.add(folder)
            status, name = read_status(folder), str(folder.relative_to(self.folder))
            if status.state == "running":
                self.ended.pop(folder, None)  # a cluster has queued the job again
                self.progress.show(name, status.iteration, status.iterations)
                continue
            is_shown = folder in self.ended
            self.before[file], self.ended[folder] = written, status.state
            if is_shown:
                continue
            message = f"{status.state}: {status.error}" if status.error else status.state
            if status.state == "interrupted" and status.error:
                message = status.error  # begins with the state
            if status.state == "finished":
                message = f"finished: {result(folder, self.metric)}"
            self.progress.end(name, f"{name} {message}")


def result(folder: Path, metric: str) -> str:
    """A metric of a finished run, on the validation images where it has some."""
    metrics = json.loads((folder / "metrics.json").read_text())
    part = "validation" if f"validation_{metric}" in metrics else "test"
    return f"{part} {title(metric)} {METRICS[metric].text(metrics.get(f'{part}_{metric}'))}"


@contextlib.contextmanager
def launcher_errors() -> Iterator[None]:
    """Report the error of a launcher or sweeper in one line, and wait for the jobs that continue.

    Submitit raises an error at the first job that was killed, while others wait or run.

    Raises:
        SystemExit: a job has no result, or their number is not known.
    """
    try:
        yield
    except EXPLAINED:
        raise
    except Exception as error:
        sweep = Sweep.running
        if sweep is None:
            raise
        reason = " ".join(str(error).splitlines()[:2])  # submitit's go on with a log
        print(f"The sweep failed: {type(error).__name__}: {reason}", file=sys.stderr)
        sweep.wait_for_jobs()
        sweep.stop()
        if sweep.num_jobs is None or not sweep.is_finished():
            raise SystemExit(1) from error


def end() -> bool:
    """End a sweep, if one has been started: stop its progress, write and print its report.

    Returns:
        Whether all jobs have finished.
    """
    sweep = Sweep.running
    if sweep is None:
        return True
    sweep.stop()
    if sweep.started or not has_report(sweep.folder, sweep.metric):
        write_report(sweep.folder, sweep.metric, sweep.num_missing)
    else:
        print(f"Results: {sweep.folder / 'report.html'}")
    in_slurm = slurm_jobs(sweep.folder)
    if in_slurm:
        print(cluster.described(in_slurm))
    return sweep.is_finished()


def has_report(folder: Path, metric: str) -> bool:
    """Whether a sweep has a report of a metric that is newer than all its runs."""
    report = folder / "report.md"
    return (
        report.is_file()
        and f"Groups of runs, test {title(metric)}\n" in report.read_text()
        and all(path.stat().st_mtime < report.stat().st_mtime for path in folder.rglob(FILE))
    )


def write_report(folder: Path, metric: str, num_missing: int) -> None:
    """Write and print the report; some jobs may be missing, without a folder."""
    from sgan_lab.report import page as report

    num_finished = num_runs = 0
    try:
        runs = report.read_runs([folder])
        num_finished, num_runs = (runs.status == "finished").sum(), len(runs)
        report.write_report(runs, folder, metric)
        report.print_summary(runs, metric)
        print(f"Results: {folder / 'report.html'}")
    except (DataError, OSError) as error:
        print(f"No report: {error}")
    num_runs += num_missing
    if num_finished < num_runs:
        without_result = num_runs - num_finished
        report_file = folder / "report.md"
        see = f"; see {report_file}" if report_file.exists() else ""
        print(f"{without_result} of {num_runs} runs have no result{see}.")
        if Sweep.left:  # another sweeper goes on by its own storage
            print(to_go_on(SWEEP, folder))
