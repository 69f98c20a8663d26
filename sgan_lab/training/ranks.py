"""The ranks of a run's processes: those of the run, not those of a batch system around it.

Lightning reads a rank from the environment when it is imported, and takes a run in a Slurm job for
one of Slurm's tasks; there is no setting against either. A run has several processes only where
`trainer` says so, and then Lightning starts them itself.
"""

import warnings
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities import rank_zero_only


def set_rank(rank: int) -> None:
    """Set the rank of this process, which Lightning has read from RANK, SLURM_PROCID or the like.

    It is 0 for the only or the first process of a run. Also silence Lightning's advice to use srun,
    which it gives once more when training begins.
    """
    rank_zero_only.rank = rank
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")


def environment(trainer: DictConfig) -> dict[str, Any]:
    """Arguments of the Trainer by which it looks for no batch system; none where the user chose."""
    if "plugins" in trainer or trainer.get("num_nodes", 1) != 1:
        return {}
    return {"plugins": [LightningEnvironment()]}
