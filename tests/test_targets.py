import pytest
from omegaconf import OmegaConf

from sgan_lab.errors import ConfigError
from sgan_lab.targets import check_packages, check_targets


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
        "sgan_lab.sweep.clear",
        "sgan_lab.data.Path",
    ],
)
def test_what_is_no_class_of_the_packages_is_refused(target):
    with pytest.raises(ConfigError, match=r"data._target_=.*must be a class of sgan_lab"):
        check_targets(OmegaConf.create({"data": {"_target_": target}}))


def test_classes_and_data_functions_are_allowed():
    names = ["sgan_lab.sgan.SGAN", "torch.nn.Linear", "pytorch_lightning.Trainer"]
    names += ["sgan_lab.data.digits", "torchmetrics.MeanMetric"]
    check_targets(OmegaConf.create({name: {"_target_": name} for name in names}))
    with pytest.raises(ConfigError, match=r"model._target_=sgan_lab.sgn.SGAN: cannot be imported"):
        check_targets(OmegaConf.create({"model": {"_target_": "sgan_lab.sgn.SGAN"}}))
