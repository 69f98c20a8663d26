import pytest
from omegaconf import OmegaConf

from sgan_lab.config.files import (
    CONFIG_PATH,
    MAX_BYTES,
    load_config,
    with_own_files,
)
from sgan_lab.errors import DataError
from tests.builders import bomb


def test_settings_are_loaded(tmp_path):
    (tmp_path / "config.yaml").write_text("a: [1, '*x']\nb: {c: 2 * 3}\n")
    assert load_config(tmp_path / "config.yaml") == {"a": [1, "*x"], "b": {"c": "2 * 3"}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(30), "it has aliases"),
        ("a: &a [*a]", "it has aliases"),
        ("x" * (MAX_BYTES + 1), "more than 100,000 bytes"),
        ("[" * 1500, "(recursion|nesting depth)"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("- 1", "something else than settings by name"),
        ("1: 2", "something else than settings by name"),
        ("a: [", "expected (the )?node content"),
        ("a: ${", "no viable alternative"),
        ("a: \x00", "not allowed"),
    ],
)
def test_what_is_no_configuration_is_named(tmp_path, content, reason):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(DataError, match=f"config.yaml is no readable configuration: .*{reason}"):
        OmegaConf.to_container(load_config(tmp_path / "config.yaml"), resolve=True)


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"_target_": "sgan_lab.sgan.SGAN"}},
        {"model": {"_target_": "sgan_lab.algorithms.sgan.SGAN", "log_interval": 10}},
        {"data": {"_target_": "sgan_lab.data.digits"}},
    ],
)
def test_a_run_of_version_0_1_is_named_as_one(tmp_path, content):
    OmegaConf.save(content, tmp_path / "config.yaml")
    with pytest.raises(DataError, match=r"is a run of sgan_lab 0\.1"):
        load_config(tmp_path / "config.yaml")
    content["model"] = {"_target_": "sgan_lab.algorithms.sgan.SGAN"}
    content["data"] = {"_target_": "sgan_lab.data.load.load"}
    OmegaConf.save(content, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == content


def test_the_current_folders_own_conf_is_searched_but_not_to_go_on_with_a_run(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert with_own_files(["seed=1"]) == ["seed=1"]
    (tmp_path / "conf").mkdir()
    assert with_own_files(["-m", "seed=1,2"]) == ["--config-dir=conf", "-m", "seed=1,2"]
    for arguments in (["--config-dir", "x"], ["-cd=x"], ["resume=x"], ["seed=1", "sweep.resume=x"]):
        assert with_own_files(arguments) == arguments
    monkeypatch.chdir(CONFIG_PATH.parent)  # the package's own
    assert with_own_files(["seed=1"]) == ["seed=1"]
