import platform
import subprocess
import sys

import pytest

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
