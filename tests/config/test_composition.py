import pytest

from tests.builders import bomb

HYDRA = "must be a class of sgan_lab, hydra, hydra_plugins, optuna.samplers"
HOSTILE = [
    (["+hydra.callbacks.x._target_=os.system", "+hydra.callbacks.x.command=touch x"], HYDRA),
    (["+hydra.callbacks.x._target_=torch.load", "+hydra.callbacks.x.f=x"], HYDRA),
    (
        ["+hydra.callbacks.x._target_=sgan_lab.jobs.sweep.clear", "+hydra.callbacks.x.folder=."],
        HYDRA,
    ),
    (["+hydra.callbacks.x._target_=hydra.utils.instantiate"], HYDRA),
    (["-m", "hydra.launcher._target_=os.system"], HYDRA),
    (["-m", "+hydra.sweeper.sampler._target_=os.system"], HYDRA),
    (
        ["+hydra.hydra_logging.handlers.x={class:subprocess.Popen,args:[touch,x]}"],
        "Unable to configure handler",
    ),
    (["model=null"], "Config group override must be a string or a list"),
]


@pytest.mark.parametrize(("arguments", "message"), HOSTILE)
def test_hydra_makes_nothing_before_it_is_checked(command_line, tmp_path, arguments, message):
    result = command_line(*arguments)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "expected the node content"),
        (b"\xff\xfe", "codec can't decode"),
        (b"- 1", "something else than settings by name"),
        (bomb(30).encode(), "more than 10,000 values"),
        (b"x: !!python/object/apply:os.system [touch x]", "could not determine a constructor"),
        (b"x: " + b"[" * 1500, "recursion"),
    ],
)
def test_a_damaged_file_of_the_users_is_named(command_line, tmp_path, content, message):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_bytes(content)
    result = command_line("--config-dir", ".", "experiment=mine")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path}/experiment/mine.yaml is no readable configuration" in result.stderr
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["experiment"]
