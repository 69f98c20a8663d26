import inspect
from typing import Annotated, Literal

import pytest
from hydra.utils import get_object
from pydantic import Field, TypeAdapter, ValidationError

from sgan_lab.config.schema import CLASSES, STRICT, Root, Sweep, Text, allowed, matches

ALL = [Root, Sweep, *(kind for classes in CLASSES.values() for kind in classes.values())]
FIELDS = {
    f"{kind.__name__}.{name}": field.rebuild_annotation()
    for kind in ALL
    for name, field in kind.model_fields.items()
}
ODD = [
    *(
        True,
        False,
        None,
        "",
        " ",
        "1",
        "nan",
        "\0",
        "\ud800",
        [],
        {},
        [1],
        [5, 5],
        {"a": 1},
        {1: 2},
    ),
    *(float("nan"), float("inf"), -float("inf"), 10**400, -1, 0.5, 2**31, 2**64, 1.0, -1e-320),
]

GROUPS = ["Root.sweep", *(key for key in FIELDS if key.endswith("augmentation"))]


def good_values(words):
    """Values at the ends of what a message says is allowed."""
    values = []
    for part in words.split(" or "):
        if part == "null":
            values.append(None)
        elif part.startswith("one of "):
            known = {"null": None, "False": False, "True": True, "1": 1, "3": 3}
            values += [known.get(name, name) for name in part[7:].split(", ")]
        elif part.startswith("an integer >= "):
            values += [int(part.split()[3]), 2**31 - 1]
        elif part.startswith("an integer "):
            values += [int(part.split()[2]), int(part.split()[4])]
        elif part == "a finite number > 0":
            values += [1e-300, 1e300, 5]
        elif part == "a number > 0 and < 1":
            values += [1e-300, 0.5]
        elif part.startswith("a number >= 0 and "):
            values += [0, 0.5] + ([float(part.split()[-1])] if "<=" in part else [])
        elif part == "a list, each a dotted name":
            values += [[], ["my_module.Name", "a.b.c"]]
        elif part == "a list, each a finite number > 0":
            values += [[], [0.9, 3]]
        elif part.startswith("a list of 2, each an integer 4 to 4096"):
            values += [[4, 4096]]
        else:
            values += {
                "a text that is not empty": ["x", "ä/b c=,'"],
                "a name": ["accuracy"],
                "a dotted name": ["my_module.Name", "a.b.c"],
                "a color, such as white, lightgray, #1f77b4": ["white", "#1f77b4"],
                "a group of settings": [{}],
                "a list": [["a", 1]],
            }[part]
    return values


@pytest.mark.parametrize("key", sorted(key for key in FIELDS if key not in GROUPS))
def test_what_a_message_says_is_allowed_passes_and_little_else(key):
    kind = FIELDS[key]
    words = allowed(kind)
    good = good_values(words)
    for value in good:
        assert matches(value, kind), value
    refused = [value for value in ODD if not matches(value, kind)]
    assert len(refused) >= len(ODD) / 2
    for value in refused:
        assert not any(type(value) is type(each) and value == each for each in good)
    if "number" in words or "integer" in words:
        assert not matches(True, kind)
        assert not matches("1", kind)
        assert not matches(float("nan"), kind)
        assert not matches(float("inf"), kind)


@pytest.mark.parametrize(
    ("kind", "words", "below", "above"),
    [
        (Annotated[int, Field(ge=1, lt=2**31)], "an integer >= 1 and < 2^31", 0, 2**31),
        (Annotated[int, Field(ge=4, le=9)], "an integer 4 to 9", 3, 10),
        (Annotated[float, Field(gt=0)], "a finite number > 0", 0, float("inf")),
        (Annotated[float, Field(ge=0, lt=1)], "a number >= 0 and < 1", -1e-9, 1),
        (Annotated[float, Field(ge=0, le=3)], "a number >= 0 and <= 3", -1e-9, 3.1),
        (Literal[None, "a"], "one of null, a", "b", 0),
        (bool, "one of False, True", 0, 1),
        (Text | None, "a text that is not empty or null", " ", "\0x"),
    ],
)
def test_a_constraint_in_words_is_the_constraint(kind, words, below, above):
    assert allowed(kind) == words
    assert not matches(below, kind)
    assert not matches(above, kind)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_key_has_a_meaning_and_no_other_passes(kind):
    assert all(field.description for field in kind.model_fields.values())
    if kind.model_config["extra"] == "forbid":
        with pytest.raises(ValidationError, match="iteratons"):
            TypeAdapter(kind).validate_python({"iteratons": 1})


def arguments_of(made):
    """The arguments of a class by name, with those that it hands on to its bases."""
    parameters = {}
    for each in (each for each in made.__mro__ if "__init__" in vars(each)):
        own = dict(inspect.signature(each).parameters)
        rest = [name for name, argument in own.items() if argument.kind is argument.VAR_KEYWORD]
        parameters = own | parameters
        if not rest:
            break
        del parameters[rest[0]]
    return parameters


@pytest.mark.parametrize("target", [*CLASSES["model"], *CLASSES["callbacks"]])
def test_the_keys_of_a_class_are_its_arguments(target):
    """A key that may be left out has a default there."""
    kind = {**CLASSES["model"], **CLASSES["callbacks"]}[target]
    arguments = arguments_of(get_object(target))
    of_data = {"image_shape", "class_names"}
    assert kind.model_fields.keys() == arguments.keys() - of_data
    for name, field in kind.model_fields.items():
        has_default = arguments[name].default is not inspect.Parameter.empty
        assert has_default or field.is_required(), name


def test_a_schema_is_strict():
    assert STRICT["strict"]
    assert not STRICT["allow_inf_nan"]
