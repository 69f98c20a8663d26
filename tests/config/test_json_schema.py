import json

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from sgan_lab.config import json_schema
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.config.json_schema import json_schemas

SCHEMAS = json_schemas()
REGISTRY = Registry().with_resources(
    (f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
ROOT = CONFIG_PATH.parent
LOAD = "sgan_lab.data.load.load"
VAT = "sgan_lab.algorithms.vat.VAT"
FILES = {
    path: path.parent.name if path.parent.name in SCHEMAS else "config"
    for path in CONFIG_PATH.rglob("*.yaml")
    if "hydra" not in path.relative_to(CONFIG_PATH).parts
}


def errors(content, schema):
    validator = Draft202012Validator(SCHEMAS[schema], registry=REGISTRY)
    return [error.message for error in validator.iter_errors(content)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_is_valid_and_would_not_be_with_a_wrong_key(path):
    content = yaml.safe_load(path.read_text())
    assert errors(content, FILES[path]) == []
    places = [content]
    if FILES[path] in ("logger", "callbacks"):
        places = [each for each in content.values() if each["_target_"].startswith("sgan_lab.")]
    if FILES[path] == "trainer":  # Lightning has more keys than are listed
        places = []
    for place in places:
        place["iteratons"] = 1
        assert errors(content, FILES[path])
        del place["iteratons"]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ("config", {"iterations": 1}, {"iterations": 0}),
        ("config", {"seed": "${oc.env:SEED}"}, {"seed": "1"}),
        ("config", {"sweep": {"metric": "accuracy"}}, {"sweep": {"metrics": "accuracy"}}),
        ("config", {"model": {"discriminator": "mlp"}}, {"model": {"discriminator": "big"}}),
        ("config", {"model": {"weight": 1.0}}, {"model": {"wieght": 1.0}}),
        ("data", {"defaults": ["mnist"], "channels": 3}, {"defaults": ["mnist"], "channels": 2}),
        ("data", {"_target_": "mine.data", "x": 1}, {"x": 1}),
        ("model", {"_target_": "mine.Model", "x": 1}, {"defaults": ["sgan"], "x": 1}),
        ("data", {"_target_": LOAD, "root": "data"}, {"_target_": LOAD, "channels": 3}),
        ("model", {"_target_": VAT, "epsilon": 1.0}, {"_target_": VAT, "threshold": 0.5}),
        ("shared", {"weight": "???"}, {"wieght": "???"}),
        ("trainer", {"max_time": "00:01:00:00"}, {"max_steps": 10}),
        ("trainer", {"precision": "bf16-mixed"}, {"precision": 16}),
        (
            "callbacks",
            {"a": {"_target_": "mine.Callback", "keep": 0}},
            {"a": {"_target_": "sgan_lab.training.checkpoints.Checkpoints", "keep": 0}},
        ),
    ],
)
def test_a_good_value_is_valid_and_a_bad_one_is_not(schema, good, bad):
    assert errors(good, schema) == []
    assert errors(bad, schema)


def test_the_committed_schemas_and_editor_settings_are_those_of_this_version():
    """Where this fails: `sgan-lab schema`, which writes schemas/."""
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert json.loads((ROOT / "schemas" / f"{name}.json").read_text()) == schema, name
    assert {path.stem for path in (ROOT / "schemas").iterdir()} == SCHEMAS.keys()
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text())
    assert settings == json_schema.editor_settings("./schemas")
    patterns = [each for files in settings["yaml.schemas"].values() for each in files]
    named = {path for pattern in patterns for path in ROOT.glob(pattern)}
    assert {path for path in named if path.is_file()} == set(FILES)


def test_the_command_writes_them_and_says_how_an_editor_uses_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sgan-lab schema"])
    json_schema.main()
    assert {path.stem for path in tmp_path.glob("schemas/*.json")} == SCHEMAS.keys()
    output = capsys.readouterr().out
    assert "schemas/model.json" in output
    assert '"conf/model/*.yaml"' in output
    assert "yaml-language-server" in output
