"""The loggers of a run, which go on with what an earlier process of the run has logged."""

import csv
import warnings
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from sgan_lab.errors import DataError
from sgan_lab.training.event_files import let_next_be_last

# Loggers whose records are kept elsewhere, and their argument that continues one.
RECORD_ID = {"WandbLogger": "id", "MLFlowLogger": "run_id"}


def make_loggers(config: DictConfig, folder: Path, start: int) -> list[Logger]:
    """The loggers of a run.

    Those of TensorBoard and CSV drop what an earlier process logged after `start`, the last
    iteration that is not trained again. Those of W&B and MLflow go on with the record whose id is
    in the run folder.

    Raises:
        DataError: an earlier CSV file is damaged.
    """
    chosen = []
    for name, settings in config.logger.items():
        kind, options = settings._target_.rpartition(".")[2], {}
        record = folder / f"{name}_id.txt"
        if kind == "TensorBoardLogger":
            options["purge_step"] = start + 1
        elif kind in RECORD_ID and record.is_file():
            options[RECORD_ID[kind]] = record.read_text(errors="replace").strip()
        logger: Logger = instantiate(settings, **options)
        if kind == "TensorBoardLogger":
            let_next_be_last(Path(logger.log_dir))
        if not rank_zero_only.rank:
            if isinstance(logger, CSVLogger):
                keep_rows(logger, start)
            elif kind in RECORD_ID and logger.experiment:  # which begins the record
                record.write_text(f"{logger.version}\n")
        chosen.append(logger)
    return chosen


def keep_rows(logger: CSVLogger, start: int) -> None:
    """Have a CSVLogger go on with the rows of an earlier process; it would delete them.

    A DataError says that they cannot be read.
    """
    file = Path(logger.log_dir, "metrics.csv")
    try:
        with file.open(newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if int(row["step"]) <= start]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{file} is damaged; move it away to go on.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file, which is written again
        writer = logger.experiment
    writer.metrics = [{name: value for name, value in row.items() if value} for row in rows]
    writer.save()


def finish(loggers: list[Logger]) -> None:
    """End the records of W&B, which would take the next run of this process for the same one."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
