import pytest
from omegaconf import OmegaConf

from sgan_lab.config.targets import check_packages, check_targets
from sgan_lab.errors import ConfigError


@pytest.mark.parametrize("target", ["os.system", "torchx.nn.Linear", "builtins.eval", 3])
def test_other_packages_are_refused_without_an_import(target):
    config = OmegaConf.create({"model": {"parts": [{"_target_": target, "command": "true"}]}})
    with pytest.raises(ConfigError, match=r"model.parts.0._target_=.*must be a class of sgan_lab"):
        check_packages(config)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.load",
        "torch.hub.load",
        "torch._sources.os.system",
        "sgan_lab.jobs.sweep.clear",
        "sgan_lab.data.image_folder.Path",
        "sgan_lab.jobs.process.subprocess.run",
        "sgan_lab.jobs.process.subprocess.Popen",
        "sgan_lab.run.hydra.utils.instantiate",
        "torch.nn.init.torch.load",
        # classes that start a command, or read classes and arguments from elsewhere
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "pytorch_lightning.cli.LightningCLI",
    ],
)
def test_what_is_no_class_of_the_packages_is_refused(target):
    with pytest.raises(ConfigError, match=r"data._target_=.*must be a class of sgan_lab"):
        check_targets(OmegaConf.create({"data": {"_target_": target}}))


def test_classes_and_data_functions_are_allowed():
    names = ["sgan_lab.algorithms.sgan.SGAN", "torch.nn.Linear", "pytorch_lightning.Trainer"]
    names += ["sgan_lab.data.load.load", "torchmetrics.MeanMetric"]
    check_targets(OmegaConf.create({name: {"_target_": name} for name in names}))
    with pytest.raises(ConfigError, match=r"model._target_=sgan_lab.sgn.SGAN: cannot be imported"):
        check_targets(OmegaConf.create({"model": {"_target_": "sgan_lab.sgn.SGAN"}}))


@pytest.mark.parametrize(
    "hostile",
    [
        {"_target_": "os.system", "command": "true"},
        [[{"_target_": "os.system", "_partial_": True}]],
        {"_target_": {"_target_": "os.system"}},
        {"_target_": ["os.system"]},
    ],
)
def test_targets_are_found_at_any_depth(hostile):
    config = OmegaConf.create(
        {"model": {"_target_": "sgan_lab.algorithms.sgan.SGAN", "x": hostile}}
    )
    with pytest.raises(ConfigError, match=r"_target_=.*must be a class of sgan_lab"):
        check_targets(config)


@pytest.mark.parametrize("value", ['${oc.create:"{_target_: os.system}"}', r"\${oc.decode:x}"])
def test_a_run_has_no_interpolations_that_could_become_targets(value):
    """Hydra resolves a configuration more than once."""
    with pytest.raises(ConfigError, match=r"model.x=.*must not hold \$\{"):
        check_targets(OmegaConf.create({"model": {"x": value}}))
