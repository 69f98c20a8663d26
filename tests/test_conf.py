"""The named experiments compose, and the tutorial's say what the tutorial says."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sgan_lab.config.schema import CLASSES

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
TRIAL = sorted(path.stem for path in (CONF / "trial").glob("*.yaml"))


def compose(program, *arguments):
    result = program("--cfg", "job", *arguments)
    assert result.returncode == 0, result.stderr
    return OmegaConf.create(result.stdout)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_yields_to_the_command_line(program, experiment):
    config = compose(program, f"experiment={experiment}", "data.num_labeled=77")
    assert config.data.num_labeled == 77


@pytest.mark.parametrize(
    "arguments", [[], ["experiment=tutorial_sgan"], ["experiment=tutorial_fast"]]
)
def test_the_sgan_of_the_tutorial(program, arguments):
    config = compose(program, *arguments)
    assert (config.iterations, config.sample_interval) == (8000, 800)
    assert (config.data.name, config.data.num_labeled, config.data.batch_size) == ("MNIST", 100, 32)
    assert config.data.labeled_split == "first"
    assert config.model.labeled_learning_rate == 3e-4
    assert config.model.unlabeled_learning_rate == 1e-3
    assert config.model.generator_learning_rate == 1e-3


def test_feature_matching_is_the_papers(program):
    config = compose(program, "experiment=feature_matching")
    assert config.iterations == 300 * 60000 / 100
    data, model = config.data, config.model
    assert (data.name, data.num_labeled, data.batch_size) == ("MNIST", 100, 100)
    assert data.labeled_split == "random"
    assert (model.learning_rate, model.beta1, model.beta2) == (3e-3, 0.5, 0.999)
    assert (model.unlabeled_weight, model.averaging_rate / config.iterations) == (1, 1e-4)


def test_bad_gan_is_the_authors_program_for_mnist_but_for_beta2(program):
    model = compose(program, "experiment=feature_matching", "model=bad_gan").model
    assert (model.learning_rate, model.generator_learning_rate, model.beta1) == (3e-3, 1e-3, 0.5)
    assert (model.low_density_weight, model.low_density_start) == (1e-4, 9000)
    assert (model.unlabeled_weight, model.feature_matching_weight) == (1, 1)
    assert (model.entropy_weight, model.pull_away_weight) == (0, 0)


@pytest.mark.parametrize(("experiment", "labels"), [("baseline", 100), ("10k", 10000)])
def test_the_baselines_of_the_tutorial(program, experiment, labels):
    config = compose(program, f"experiment=tutorial_{experiment}")
    assert (config.data.name, config.data.num_labeled, config.data.batch_size) == (
        "MNIST",
        labels,
        32,
    )
    assert (config.model.epochs, config.model.learning_rate) == (30, 1e-3)
    assert config.model._target_ == "sgan_lab.algorithms.supervised.Supervised"


def test_the_data_folder_comes_from_the_environment(program, monkeypatch):
    monkeypatch.setenv("SGAN_LAB_DATA", "/some")
    result = program("--cfg", "job", "--resolve", "-p", "data.root")
    assert result.stdout.strip().endswith("/some")


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_a_key_for_each_argument(program, model):
    config = compose(program, f"model={model}").model
    assert config.keys() - {"_target_"} == CLASSES["model"][config._target_].model_fields.keys()


@pytest.mark.parametrize("trial", TRIAL)
def test_a_trial_is_of_its_model_in_other_values(program, trial):
    chosen, plain = (
        compose(program, option).model for option in (f"trial={trial}", f"model={trial}")
    )
    assert chosen._target_ == plain._target_
    assert chosen != plain


def test_the_trial_is_of_every_model_and_is_fair(program):
    trial = OmegaConf.load(CONF / "experiment" / "trial.yaml")
    assert sorted(trial.hydra.sweeper.params.trial.split(",")) == TRIAL
    assert set(TRIAL) == {*MODELS} - {"sgan_plus"}  # which is the SGAN
    # As many updates of the baseline as the others have iterations.
    config = compose(program, "experiment=trial", "trial=supervised")
    batches = -(-config.data.num_labeled // config.data.batch_size)
    assert config.model.epochs * batches == config.iterations
