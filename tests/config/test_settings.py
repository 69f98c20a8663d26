import pytest
from omegaconf import OmegaConf

from sgan_lab.config.settings import experiment_settings, flatten


def test_settings_are_flat_name_their_group_and_stand_once():
    config = {
        "seed": 1,
        "iterations": 5,
        "model": {"_target_": "sgan_lab.algorithms.sgan.SGAN", "iterations": 5, "rate": 0.1},
        "data": {
            "_target_": "sgan_lab.data.image_folder.image_folder",
            "image_size": [8, 9],
            "augmentation": {"affine": 1, "flip": False},
            "num_labeled": None,
        },
    }
    assert flatten(config) == {
        "seed": 1,
        "iterations": 5,
        "model": "SGAN",
        "model.rate": 0.1,
        "data": "image_folder",
        "data.image_size": "[8, 9]",
        "data.augmentation.affine": 1,
        "data.augmentation.flip": False,
        "data.num_labeled": None,
    }


def test_a_published_data_set_is_known_by_its_name_wherever_it_is():
    data = {"_target_": "sgan_lab.data.load.load", "name": "MNIST", "root": "a", "batch_size": 32}
    assert flatten({"data": data}) == {"data": "MNIST", "data.batch_size": 32}


def test_how_a_run_is_shown_and_stored_is_no_setting():
    shown = {"log_interval": 1, "sample_interval": 2, "cuda_graph": True, "logger": {"x": 1}}
    assert flatten({**shown, "sweep": {"metric": "loss"}, "compile": "eager"}) == {
        "compile": "eager"
    }


def test_a_run_cannot_go_on_with_another_sample_interval():
    """It is the length of an epoch, within which a checkpoint may be."""
    settings = experiment_settings(
        OmegaConf.create({"seed": 1, "sample_interval": 5, "resume": "x"})
    )
    assert settings == {"seed": 1, "sample_interval": 5}


@pytest.mark.parametrize(("label_seed", "shown"), [(1, {}), (2, {"data.label_seed": 2})])
def test_labels_drawn_by_the_seed_do_not_tell_the_seeds_of_a_group_apart(label_seed, shown):
    assert flatten({"seed": 1, "data": {"label_seed": label_seed}}) == {"seed": 1, **shown}
