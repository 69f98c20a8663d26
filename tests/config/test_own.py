import sys
from typing import Annotated

import pytest
from omegaconf import OmegaConf
from pydantic import Field

from sgan_lab.config.checks import check_group
from sgan_lab.config.own import arguments, find_own_modules, own_settings, trusted
from sgan_lab.config.schema import allowed
from sgan_lab.errors import ConfigError

MODULE = """
from typing import Any, Literal

from pytorch_lightning import Callback

from sgan_lab.algorithms.base import GAN, Algorithm, SemiSupervisedClassifier
from sgan_lab.algorithms.pi_model import PiModel


class Method(SemiSupervisedClassifier):
    def __init__(self, *, rounds: int, mode: Literal["a", "b"] = "a", other: object = None,
                 **training: Any) -> None:
        super().__init__(**training)


class Pi(PiModel):
    pass


class OwnGAN(GAN):
    def __init__(self, image_shape, class_names, rate: float):
        super().__init__(image_shape, class_names)


class Blind(Algorithm):
    def __init__(self, discriminator):
        super().__init__((1, 28, 28), "ab", discriminator)



class Shout(Callback):
    def __init__(self, loudness: int | None):
        self.loudness = loudness


def anything(**rest):
    return {}


def load(size: int, names: list[str] | None = None):
    return {}


NUMBER = 5
"""
TRAINING = {"iterations": 9, "learning_rate": 1.0, "learning_rate_decay": 0.5}
TRAINING |= {"weight": 1.0, "ramp_up": 0.5}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A module of the user's own."""
    (tmp_path / "own.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)


def check(group, name, **settings):
    check_group(group, group, {"_target_": f"own.{name}", **settings}, {group: settings})


def test_good_settings_of_own_classes_pass():
    check("model", "Method", rounds=3, other=[1], **TRAINING)
    check("model", "Pi", target_dropout=False, _convert_="all", **TRAINING)
    check("model", "OwnGAN", rate=1)
    check("source", "anything", whatever={})
    check("callbacks", "Shout", loudness=None)
    check("source", "load", size=3, names=["a"])


@pytest.mark.parametrize(
    ("group", "name", "settings", "message"),
    [
        ("model", "Method", {"rounds": 3.0}, "model.rounds=3.0: must be an integer"),
        ("model", "Method", {"rounds": True}, "model.rounds=True: must be an integer"),
        ("model", "Method", {"rounds": "???"}, "model.rounds=???: has no default and must be"),
        ("model", "Method", {"mode": "c"}, "model.mode=c: must be one of a, b"),
        ("model", "Method", {"weight": -1}, "model.weight=-1: must be a number >= 0 and <= 10"),
        ("model", "Method", {"round": 3}, "model.round=3: is no key of Method. Did you mean"),
        ("model", "Method", {"discriminator": "big"}, "or a dotted name"),
        ("model", "Pi", {"target_dropout": 1}, "model.target_dropout=1: must be one of False"),
        ("model", "OwnGAN", {"rate": "fast"}, "model.rate=fast: must be a finite number"),
        ("model", "Blind", {}, "own.Blind: must take the argument image_shape"),
        ("model", "Shout", {}, "must be a subclass of sgan_lab.algorithms.base.Algorithm"),
        ("model", "load", {}, "must be a subclass of sgan_lab.algorithms.base.Algorithm"),
        ("callbacks", "Pi", {}, "must be a subclass of pytorch_lightning.callbacks.callback"),
        ("callbacks", "Shout", {"loudness": "x"}, "loudness=x: must be an integer or null"),
        ("source", "load", {"size": 1, "names": 5}, "names=5: must be a list or null"),
        ("source", "NUMBER", {}, "must be a class or a function"),
        ("source", "absent", {}, "cannot be imported: AttributeError: module 'own' has no"),
    ],
)
def test_what_a_signature_does_not_allow_is_one_line(group, name, settings, message):
    given = TRAINING | {"rounds": 3} if name == "Method" else TRAINING if name == "Pi" else {}
    with pytest.raises(ConfigError) as caught:
        check(group, name, **given | settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", ["nowhere", "broken"])
def test_a_module_that_cannot_be_imported_is_named(module):
    with pytest.raises(ConfigError, match=f"model._target_={module}.X: cannot be imported: Module"):
        own_settings("model", "model", f"{module}.X")


def test_an_own_gan_excludes_what_every_gan_does():
    assert "accumulate_grad_batches" in own_settings("model", "model", "own.OwnGAN").unsupported


def test_arguments_are_followed_to_the_base_that_takes_them():
    class Base:
        def __init__(self, a: int, b: "Missing" = 2):  # noqa: F821
            pass

    class Derived(Base):
        def __init__(self, c: Annotated[float, Field(gt=0)], *args, **rest):
            super().__init__(**rest)

    found, takes_others = arguments(Derived)
    assert list(found) == ["c", "a", "b"]
    assert (found["b"][1], takes_others) == (2, False)
    assert allowed(found["c"][0]) == "a finite number > 0"


def test_the_current_folder_is_looked_in_last(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/usr"])
    monkeypatch.chdir(tmp_path)
    assert trusted([]) == []
    assert sys.path == ["/usr"]
    find_own_modules()
    find_own_modules()
    assert sys.path == ["/usr", str(tmp_path)]


def test_checks_name_the_network_the_metric_and_what_is_watched(program, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    lines = {"defaults": ["sgan"], "_target_": "own.Nothing"}
    OmegaConf.save(lines, tmp_path / "conf" / "model" / "mine.yaml")
    for arguments_, message in (
        (["model=mine"], "model._target_=own.Nothing: cannot be imported"),
        (["model.discriminator=own.Net"], "model.discriminator=own.Net: cannot be imported"),
        (["metrics=[own.best]"], "metrics=own.best: cannot be imported"),
        (["metrics=[5]"], "metrics=[5]: must be a list, each a dotted name"),
        (["+callbacks=early_stopping"], "data.num_validation=0: must be > 0, since callbacks.ear"),
        (["+callbacks.mine._target_=own.Pi"], "callbacks.mine._target_=own.Pi: must be a subclass"),
    ):
        result = program(*arguments_)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert message in result.stderr
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".py"}
    assert left - {"__pycache__"} == {"conf"}
