import pytest

from sgan_lab.config.settings import flatten


def test_settings_are_flat_name_their_group_and_stand_once():
    config = {
        "seed": 1,
        "iterations": 5,
        "model": {"_target_": "sgan_lab.algorithms.sgan.SGAN", "iterations": 5, "rate": 0.1},
        "data": {
            "_target_": "sgan_lab.data.load.load",
            "image_size": [8, 9],
            "num_labeled": None,
        },
    }
    assert flatten(config) == {
        "seed": 1,
        "iterations": 5,
        "model": "SGAN",
        "model.rate": 0.1,
        "data": "load",
        "data.image_size": "[8, 9]",
        "data.num_labeled": None,
    }


@pytest.mark.parametrize(("label_seed", "shown"), [(1, {}), (2, {"data.label_seed": 2})])
def test_labels_drawn_by_the_seed_do_not_tell_the_seeds_of_a_group_apart(label_seed, shown):
    assert flatten({"seed": 1, "data": {"label_seed": label_seed}}) == {"seed": 1, **shown}
