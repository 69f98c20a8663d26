"""What can be known of `trainer=mps` without a Mac: Metal has no float64."""

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.training.train import train

READING = {"aten.lift_fresh.default", "aten._to_copy.default"}  # of digits, on the CPU


class Float64(TorchDispatchMode):
    """Collects the operators that meet a tensor of float64."""

    def __init__(self):
        super().__init__()
        self.operators = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, result)):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64:
                self.operators.add(str(operator))
        return result


@pytest.mark.slow
@pytest.mark.parametrize("model", ["improved_sgan", "feature_matching", "mean_teacher"])
def test_a_run_computes_nothing_in_float64(tmp_path, model):
    settings = [f"model={model}", "data=digits", "data.num_validation=100", "trainer=cpu"]
    settings += ["iterations=2", f"callbacks.checkpoint.dirpath={tmp_path}"]
    settings += [f"logger.tensorboard.save_dir={tmp_path}", "num_threads=1"]
    with hydra.initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = hydra.compose("config", settings)
    OmegaConf.save(config, tmp_path / "config.yaml", resolve=True)
    with Float64() as found:
        train(tmp_path)
    assert found.operators <= READING
