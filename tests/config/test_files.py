import pytest
from omegaconf import OmegaConf

from sgan_lab.config.files import MAX_BYTES, load_config
from sgan_lab.errors import DataError
from tests.builders import bomb


def test_settings_are_loaded_with_their_aliases(tmp_path):
    (tmp_path / "config.yaml").write_text("a: &a [1, x]\nb: [*a, *a]\n")
    assert load_config(tmp_path / "config.yaml") == {"a": [1, "x"], "b": [[1, "x"], [1, "x"]]}
    (tmp_path / "config.yaml").write_text(bomb(3))
    assert len(load_config(tmp_path / "config.yaml").x2[9][9]) == 10


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(30), "aliases written out it has more than 10,000 values"),
        ("a: &a [*a]", "aliases written out it has more than 10,000 values"),
        ("x" * (MAX_BYTES + 1), "more than 100,000 bytes"),
        ("[" * 1500, "recursion"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("- 1", "something else than settings by name"),
        ("1: 2", "something else than settings by name"),
        ("a: [", "expected the node content"),
        ("a: ${", "no viable alternative"),
        ("a: \x00", "not allowed"),
    ],
)
def test_what_is_no_configuration_is_named(tmp_path, content, reason):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(DataError, match=f"config.yaml is no readable configuration: .*{reason}"):
        OmegaConf.to_container(load_config(tmp_path / "config.yaml"), resolve=True)
