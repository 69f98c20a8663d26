"""The program: `python -m sgan_lab.run`, configured by the YAML files in `conf/`.

Only light imports here: torch and Lightning are imported once the configuration has been checked.
"""

import logging
import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config_checks import EXPLAINED, check_values, exit_on_error, explain

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
# In a wheel the configs are inside the package, in a checkout beside it.
CONFIG_PATH = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
MAX_NAME = 150  # characters of a job's folder name; file systems allow 255 bytes


def folder_name(overrides: str) -> str:
    """A job's overrides as the name of one folder."""
    return overrides.replace("/", "-")[:MAX_NAME]


OmegaConf.register_new_resolver("folder_name", folder_name)


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def train(config: DictConfig) -> None:
    """Train as configured."""
    check_values(config)  # again, since a sweeper may have chosen other values
    from sgan_lab import training

    try:
        training.train(config)
    except Exception as error:
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN:  # Hydra shows the first error of a sweep only
            traceback = not isinstance(error, EXPLAINED)
            log.error("Job %s failed: %s", hydra_config.job.num, explain(error), exc_info=traceback)
        raise


def main() -> None:
    """Run Hydra; an error that the user can mend is a message, with exit status 1."""
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed by Hydra
    try:
        with exit_on_error():
            train()
    except SystemExit as exit_:
        if full_error and exit_.__cause__:
            raise exit_.__cause__ from None
        raise


if __name__ == "__main__":
    main()
