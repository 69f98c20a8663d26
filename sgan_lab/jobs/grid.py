"""The jobs of a grid: composed by Hydra once for all that differ in values only.

Hydra composes a job in some 60 ms, most of it for the files of its groups. Jobs of equal groups
take them from one composition, and only their values are set.
"""

import functools
from collections.abc import Iterator, Sequence

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict


class Grid:
    """The jobs of a sweep's grid; iterate over their configurations, each valid until the next.

    Attributes:
        jobs: the overrides of each job, as on a command line.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader, overrides: list[Override]) -> None:
        (self.jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        self.config = config
        self.loader = loader
        self.parsed = functools.cache(OverridesParser.create().parse_override)
        values = [each for each in overrides if has_group(each) or not self.is_choice(each)]
        self.values = {
            override.get_key_element()
            for override in values
            if override.is_sweep_override()
            and override.type == OverrideType.CHANGE
            and not has_group(override)  # groups of values are merged
            and all(is_apart(override, each) for each in values if each is not override)
        }

    def is_choice(self, override: Override) -> bool:
        """Whether an override chooses a file of a group."""
        return bool(self.loader.get_group_options(override.key_or_group))

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[DictConfig]:
        composed: dict[tuple[str, ...], tuple[DictConfig, list[str]]] = {}
        for number, job in enumerate(self.jobs):
            same = tuple(text for text in job if text.partition("=")[0] not in self.values)
            if same in composed:
                config, earlier = composed[same]
                self.change(config, earlier, job)
            else:
                config = self.loader.load_sweep_config(self.config, list(job))
            composed[same] = config, job
            with open_dict(config):
                config.hydra.job.num = number
            yield config

    def change(self, config: DictConfig, earlier: Sequence[str], job: Sequence[str]) -> None:
        """Make the configuration of an earlier job that of another, which differs in values."""
        task = list(config.hydra.overrides.task)
        for before, after in zip(earlier, job, strict=True):
            if before != after:
                override = self.parsed(after)
                OmegaConf.update(config, override.key_or_group, override.value())
                task[task.index(before)] = after
        config.hydra.overrides.task = task
        config.hydra.job.override_dirname = get_overrides_dirname(
            [self.parsed(text) for text in task], **config.hydra.job.config.override_dirname
        )


def has_group(override: Override) -> bool:
    """Whether a value of an override is a group of values, as in key={a: 1}."""
    swept = override.is_sweep_override()
    texts = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
    return any(text.startswith("{") for text in texts)


def is_apart(override: Override, other: Override) -> bool:
    """Whether neither of two overrides sets something within what the other one sets."""
    keys = [f"{each.key_or_group}." for each in (override, other)]
    return not keys[0].startswith(keys[1]) and not keys[1].startswith(keys[0])
