import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PAGE_FAULTS = """
import resource
import torch
from sgan_lab.training.process import keep_freed_memory

keep_freed_memory()
for _ in range(10):  # it takes some to settle
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    activations = [torch.ones(2**22) for _ in range(4)]  # 16 MiB each
    del activations
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_the_memory_that_an_iteration_frees_is_kept():
    result = subprocess.run(
        [sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 1000  # of 16,384 pages


THREADS = """
import logging, threading, warnings
from sgan_lab.training.process import prepare_process

prepare_process(num_threads=1)

def fail(error):
    raise error

for error in (OSError("of the writer"), ValueError("of the program")):
    thread = threading.Thread(target=fail, args=[error])
    thread.start()
    thread.join()
"""


def test_a_thread_reports_all_errors_but_those_of_the_writer():
    result = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
    )
    assert "ValueError: of the program" in result.stderr
    assert "of the writer" not in result.stderr


TRAINING = """
import warnings
import pytorch_lightning as pl
from sgan_lab.algorithms.supervised import Supervised
from sgan_lab.training.process import prepare_process
from sgan_lab.training.ranks import set_rank
from tests.builders import CLASSES, SHAPE, make_data

set_rank(0)
prepare_process(num_threads=1)
data = make_data()
module = Supervised(image_shape=SHAPE, class_names=CLASSES, epochs=1, learning_rate=1e-3)
options = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
trainer = pl.Trainer(accelerator="cpu", **dict.fromkeys(options, False), **module.training_limit)
trainer.fit(module, module.batches(data, 1))
"""


def test_training_says_nothing_that_is_for_lightnings_developers():
    result = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True
    )
    assert result.stdout + result.stderr == ""
