"""The named experiments compose, and the tutorial's say what the tutorial says."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
TUNED = sorted(path.stem for path in (CONF / "model" / "tuned").glob("*.yaml"))


def compose(program, *arguments):
    result = program("--cfg", "job", *arguments)
    assert result.returncode == 0, result.stderr
    return OmegaConf.create(result.stdout)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_yields_to_the_command_line(program, experiment):
    config = compose(program, f"experiment={experiment}", "data.num_labeled=77")
    assert config.data.num_labeled == 77


@pytest.mark.parametrize("arguments", [[], ["experiment=tutorial_sgan"]])
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


def arguments_of(model_class):
    """Names of the arguments of a class, with those that it hands on to its base."""
    names = set(inspect.signature(model_class).parameters)
    if "training" in names:
        names = names - {"training"} | arguments_of(model_class.__base__)
    return names


@pytest.mark.parametrize("model", TUNED)
def test_a_model_has_a_key_for_each_argument(program, model):
    """Another key is refused."""
    config = compose(program, f"model={model}").model
    of_data = {"image_shape", "class_names"}
    assert config.keys() - {"_target_"} == arguments_of(get_class(config._target_)) - of_data


@pytest.mark.parametrize("model", TUNED)
def test_a_tuned_model_differs_in_values_alone(program, model):
    tuned, plain = (compose(program, f"model={name}").model for name in (f"tuned/{model}", model))
    assert tuned.keys() == plain.keys()
    assert tuned._target_ == plain._target_
    assert tuned != plain


def test_the_trial_is_of_every_model_and_is_fair(program):
    trial = OmegaConf.load(CONF / "experiment" / "trial.yaml")
    models = trial.hydra.sweeper.params.model.split(",")
    assert sorted(models) == [f"tuned/{model}" for model in TUNED]
    assert set(TUNED) == {path.stem for path in (CONF / "model").glob("*.yaml")}
    # As many updates of the baseline as the others have iterations.
    config = compose(program, "experiment=trial", "model=tuned/supervised")
    batches = -(-config.data.num_labeled // config.data.batch_size)
    assert config.model.epochs * batches == config.iterations
