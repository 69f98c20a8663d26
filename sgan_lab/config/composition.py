"""Checks while Hydra composes a configuration: of the files, and of what Hydra makes for itself.

Hydra has no place to hook them in: it configures logging and makes its callbacks, which
`config_checks` is one of, from the composed configuration at once.
"""

from pathlib import Path
from typing import Any

from hydra._internal import hydra as hydra_main
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

from sgan_lab.config.checks import EXPLAINED
from sgan_lab.config.files import check_keys, check_size, unreadable
from sgan_lab.config.targets import check_hydra_targets
from sgan_lab.errors import UserError

load_unchecked = FileConfigSource.load_config


def check_compositions() -> None:
    """Have `hydra.main` use what this module has."""
    Plugins.instance()  # registers its sources, of classes that are not those of an import
    # Not a class of our own: a launcher's worker takes the registry over, then registers Hydra's.
    SourcesRegistry.instance().types["file"].load_config = load_checked
    hydra_main.Hydra = CheckedHydra


def load_checked(source: FileConfigSource, config_path: str) -> ConfigResult:
    """Load a configuration file, of which any may be damaged.

    Raises:
        DataError: it is no configuration, see `config_files`.
    """
    path = Path(source.path, source._normalize_file_name(config_path))
    try:
        check_size(path)
        result = load_unchecked(source, config_path)
        check_keys(result.config)
    except Exception as error:  # YAML and OmegaConf each have their own
        raise unreadable(path, error) from error
    return result


class CheckedHydra(hydra_main.Hydra):
    """Hydra that has what its `hydra` node names checked before it makes the first of it."""

    def compose_config(self, *args: Any, **options: Any) -> DictConfig:
        """Compose a configuration.

        Raises:
            UserError: it is not allowed, or cannot be composed.
        """
        with_log = options.pop("with_log_configuration", False)
        try:
            config = super().compose_config(*args, **options)
            check_hydra_targets(config)
            if with_log:
                configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        except EXPLAINED:
            raise
        except Exception as error:  # Hydra and logging each have their own
            reason = " ".join(str(error).split())
            raise UserError(f"The configuration cannot be composed: {reason}") from error
        return config
