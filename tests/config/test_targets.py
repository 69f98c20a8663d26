import pytest
from omegaconf import OmegaConf

from sgan_lab.config.targets import check_resolved, is_trusted
from sgan_lab.errors import ConfigError


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "torchx.nn.Linear", "builtins.eval", "mine.Model", "sgan_lab", "", 3, None),
        *({"_target_": "os.system"}, ["os.system"], "${x}"),
        "torch.os.system",
        "torch.load",
        "torch.hub.load",
        "torch._sources.os.system",
        "sgan_lab.jobs.sweep.clear",
        "sgan_lab.data.image_folder.Path",
        "sgan_lab.jobs.process.subprocess.run",
        "sgan_lab.jobs.cluster.subprocess.Popen",
        "sgan_lab.run.hydra.utils.instantiate",
        "torch.nn.init.torch.load",
        # classes that start a command, or read classes and arguments from elsewhere
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "pytorch_lightning.cli.LightningCLI",
    ],
)
def test_what_is_no_class_of_the_packages_is_not_trusted(target):
    assert not is_trusted(target, {"other"})


@pytest.mark.parametrize(
    "target",
    [
        *("sgan_lab.algorithms.sgan.SGAN", "torch.nn.Linear", "pytorch_lightning.Trainer"),
        *("sgan_lab.data.load.load", "torchmetrics.MeanMetric", "mine.model.Model"),
    ],
)
def test_classes_data_functions_and_packages_that_the_user_names_are_trusted(target):
    assert is_trusted(target, {"mine"})


@pytest.mark.parametrize("value", ['${oc.create:"{_target_: os.system}"}', r"\${oc.decode:x}"])
def test_a_run_has_no_interpolations_that_could_become_targets(value):
    """Hydra resolves a configuration more than once."""
    check_resolved(OmegaConf.create({"model": {"x": "$ {"}}))
    with pytest.raises(ConfigError, match=r"model.x=.*must not hold \$\{"):
        check_resolved(OmegaConf.create({"model": {"x": value}}))
