"""The program: `python -m sgan_lab.run`, configured by the YAML files in `conf/`.

Only light imports here: torch and Lightning are imported once the configuration has been checked.
"""

import os
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from sgan_lab.config_checks import check_values, exit_on_error

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

    training.train(config)


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
