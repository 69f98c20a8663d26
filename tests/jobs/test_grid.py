"""A grid's jobs are those that Hydra composes one by one."""

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

import sgan_lab.run  # noqa: F401
from hydra_plugins.sgan_lab_sweeper import GridSweeper
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.jobs.grid import Grid
from sgan_lab.jobs.sweep import Sweep


def grid(*overrides):
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)
    parser = OverridesParser.create(config_loader=loader)
    return config, loader, Grid(config, loader, parser.parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "num_composed"),
    [
        (["data=digits", "seed=range(3)", "model.labeled_learning_rate=1e-3,${seed}"], 1),
        (["data=digits", "model=sgan,vat", "data.classes=null,[1,2],[3]", "seed=0,1"], 2),
        (["+trainer.max_time=null,'00:01:00:00'", "seed=0,1", "sweep.metric='errors',loss"], 2),
        (["callbacks.samples={num_images: 1},{num_images: 2}", "seed=1,2"], 2),
        (["data={num_labeled: 50}", "data.num_labeled=60,70"], 2),
    ],
)
def test_jobs_equal_those_that_hydra_composes(monkeypatch, overrides, num_composed):
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config, loader, jobs = grid(*overrides)
        expected = []
        for number, job in enumerate(jobs.jobs):
            composed = loader.load_sweep_config(config, list(job))
            with open_dict(composed):
                composed.hydra.job.num = number
            expected.append(OmegaConf.to_container(composed))
        calls = []
        compose = loader.load_sweep_config
        monkeypatch.setattr(
            loader, "load_sweep_config", lambda *args: calls.append(args) or compose(*args)
        )
        assert len(jobs) == len(expected)
        assert [OmegaConf.to_container(job) for job in jobs] == expected
    assert len(calls) == num_composed


def test_the_sweeper_runs_what_is_left_in_batches(monkeypatch):
    monkeypatch.setattr(Sweep, "left", [["seed=0"], ["seed=3"], ["seed=4"]])
    for size, batches in ((None, [3]), (2, [2, 1])):
        assert [len(batch) for batch in GridSweeper.split_arguments([], size)] == batches
    monkeypatch.setattr(Sweep, "left", [])
    assert GridSweeper.split_arguments([], None) == []
