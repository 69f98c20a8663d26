import os
import random
import subprocess
import sys

import pytest

from sgan_lab.errors import DataError
from sgan_lab.evaluation.checksums import check_checkpoint, checksum_file, sha256


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "iteration-1.ckpt"
    path.write_bytes(random.Random(0).randbytes(10_000))
    checksum_file(path).write_text(f"{sha256(path)}  {path.name}\n")
    return path


def test_the_checksum_is_that_of_the_command_of_the_same_name(checkpoint):
    command = ["sha256sum", "--check", checksum_file(checkpoint).name]
    subprocess.run(command, cwd=checkpoint.parent, check=True, capture_output=True)


def test_each_of_a_hundred_flipped_bits_is_refused(checkpoint):
    check_checkpoint(checkpoint)
    whole = checkpoint.read_bytes()
    generator = random.Random(1)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        checkpoint.write_bytes(damaged)
        with pytest.raises(DataError, match=r"iteration-1.ckpt is no readable checkpoint"):
            check_checkpoint(checkpoint)


def test_a_copy_without_a_checksum_passes(checkpoint):
    checksum_file(checkpoint).unlink()
    check_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
def test_a_damaged_checksum_is_refused(checkpoint, content):
    checksum_file(checkpoint).write_bytes(content)
    with pytest.raises(DataError, match=r"iteration-1.ckpt.sha256 cannot be read"):
        check_checkpoint(checkpoint)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(DataError, match="it is no regular file"):
        check_checkpoint(tmp_path / "pipe.ckpt")


@pytest.mark.parametrize(
    "command", [["evaluate"], ["predict"], ["export", "--format", "safetensors"]]
)
def test_a_command_refuses_a_damaged_checkpoint_in_one_line(checkpoint, tmp_path, command):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"x")
    images = [str(tmp_path)] if command == ["predict"] else []
    result = subprocess.run(
        [sys.executable, "-m", "sgan_lab", *command, str(checkpoint), *images],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "its SHA-256 sum is another" in result.stderr
