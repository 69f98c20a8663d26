import os
import pty
import subprocess
import sys

import pytest

from sgan_lab import __version__, cli

COMMANDS = ["train", "report", "evaluate", "predict", "suggest", "generate", "export", "schema"]


def sgan_lab(*arguments, cwd=None):
    command = [sys.executable, "-m", "sgan_lab", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command_with_a_line(arguments):
    result = sgan_lab(*arguments)
    assert result.returncode == 0
    listed = [line.split() for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [words[0] for words in listed] == COMMANDS
    assert all(len(words) > 2 for words in listed)


@pytest.mark.parametrize("arguments", [[], ["schema"]])
def test_help_and_schemas_need_no_torch(arguments, tmp_path):
    probe = f"import sys; sys.argv[1:] = {arguments}; from sgan_lab.cli import main; main(); "
    probe += "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_usage_names_the_command_as_it_was_called(command, monkeypatch, capsys):
    """In this process, which has torch imported already, and keeps its signal handlers."""
    monkeypatch.setattr(sys, "argv", ["sgan-lab", command, "--help"])
    monkeypatch.setattr(cli, "handle_signals", lambda _: None)
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sgan-lab {command} ")
    assert f"\n  sgan-lab {command} " in text.partition("\nexample")[2]


def test_the_version_is_printed():
    assert sgan_lab("--version").stdout == f"{__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pre", "predict"),
        ("train data=dig", "train data=digits"),
        ("report rep", "report reports/"),
    ],
)
def test_bash_completes_commands_settings_and_files(tmp_path, typed, completed):
    (tmp_path / "reports").mkdir()
    command = tmp_path / "sgan-lab"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sgan_lab "$@"\n')
    command.chmod(0o755)
    prepare = 'bind "set enable-bracketed-paste off"; eval "$(sgan-lab --completion)"'
    keys = f"{prepare}\nsgan-lab {typed}\t\x01echo seen: \nexit\n"  # Ctrl-A: before the line
    master, terminal = pty.openpty()
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    ) as bash:
        os.write(master, keys.encode())
        output, _ = bash.communicate(timeout=60)
    os.close(master)
    os.close(terminal)
    assert f"seen: sgan-lab {completed}\n" in output


def test_an_unknown_command_is_one_message():
    near = sgan_lab("evalute")
    assert near.returncode == 1
    assert near.stderr == "sgan-lab has no command evalute. Did you mean evaluate?\n"
    far = sgan_lab("xyzzy")
    assert far.returncode == 1
    assert far.stderr == "sgan-lab has no command xyzzy. See sgan-lab --help.\n"


def test_train_hands_everything_to_hydra(tmp_path):
    result = sgan_lab("train", "data=digits", "seed=7", "--cfg", "job", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "seed: 7" in result.stdout
    assert "name: digits" in result.stdout
    wrong = sgan_lab("train", "iterations=0", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "iterations=0: must be an integer >= 1 and < 2^31\n",
    )
    usage = sgan_lab("train", "--bogus", cwd=tmp_path).stderr
    assert usage.startswith("usage: sgan-lab train ")


def test_the_commands_reach_their_modules(checkpoint, tmp_path):
    result = sgan_lab("export", checkpoint, "--format", "torchscript", "--output", tmp_path / "new")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "new").is_file()
    result = sgan_lab("report", checkpoint.parent.parent, "--output", tmp_path / "report")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report" / "report.html").is_file()
