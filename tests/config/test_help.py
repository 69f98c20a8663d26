import pytest

from sgan_lab.config.schema import VAT, Augmentation, ImageFolder, Root

GROUPS = ("sweep", "data", "model", "trainer", "logger", "callbacks", "augmentation")


def test_help_has_the_meaning_of_each_key_and_nothing_of_hydras(program):
    result = program("model=vat", "data=image_folder", "--help")
    assert result.returncode == 0
    groups = (("data.", ImageFolder), ("data.augmentation.", Augmentation), ("model.", VAT))
    for prefix, schema in (("", Root), *groups):
        for name, field in schema.model_fields.items():
            if name not in GROUPS:
                (line,) = (
                    x for x in result.stdout.splitlines() if x[2:].startswith(f"{prefix}{name}=")
                )
                assert line.endswith(field.description)
    assert "Powered by Hydra" not in result.stdout
    assert "  shared " not in result.stdout
    assert result.stdout.count("  python -m sgan_lab.run ") == 3


@pytest.mark.parametrize("arguments", [["iterations=5"], ["model=sgan_plus", "trainer=cpu"]])
def test_help_follows_the_command_line(program, arguments):
    output = program(*arguments, "--help").stdout
    assert ("iterations=5 " in output) == ("iterations=5" in arguments)
    assert ("model.joint_update=false" in output) == ("model=sgan_plus" in arguments)


def test_help_lists_files_of_the_users_own(program, tmp_path):
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("_target_: mine.Model\n")
    output = program(f"--config-dir={tmp_path}/conf", "model=mine", "--help").stdout
    assert "mine, pi_model" in output
