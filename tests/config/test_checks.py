"""Every bad value through the command line: one message, exit status 1, nothing written."""

import re

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torchvision import datasets

from sgan_lab.config.checks import Classes, check_values, class_names
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.errors import ConfigError
from sgan_lab.jobs.status import read_status

BAD_VALUES = [
    ("data.num_labeled=0", "must be an integer 1 to 60000"),
    ("data.num_labeled=-5", "must be an integer 1 to 60000"),
    ("data.num_labeled=many", "must be an integer 1 to 60000"),
    ("data.num_labeled=2.5", "must be an integer 1 to 60000"),
    ("data.num_labeled=true", "must be an integer 1 to 60000"),
    ("data.num_labeled=60001", "must be an integer 1 to 60000"),
    ("data.labeled_split=last", "must be one of first, balanced, random"),
    ("data.label_seed=-1", "must be an integer 0 to 4294967295"),
    ("data.batch_size=0", "must be an integer 1 to 100000"),
    ("data.root=''", "must be a text that is not empty"),
    ("iterations=0", "must be an integer >= 1"),
    ("iterations=1e3", "must be an integer >= 1"),
    ("sample_interval=0", "must be an integer >= 1"),
    ("num_threads=0", "must be an integer 1 to 1024 or null"),
    ("seed=-1", "must be an integer 0 to 4294967295"),
    ("model.labeled_learning_rate=0", "must be a finite number > 0"),
    ("model.unlabeled_learning_rate=nan", "must be a finite number > 0"),
    ("model.generator_learning_rate=inf", "must be a finite number > 0"),
    ("model.labeled_learning_rate=-1e-3", "must be a finite number > 0"),
    ("model.labeled_learning_rate=fast", "must be a finite number > 0"),
    ("model.generator_channels=3", "must be an integer 4 to 4096"),
    ("model.log_interval=0", "must be an integer >= 1"),
    ("callbacks.samples.num_images=0", "must be an integer 1 to 10000"),
]
FEATURE_MATCHING = "model=feature_matching"
BAD_GAN = "model=bad_gan"
OTHER_GROUPS = [
    (["model=supervised", "model.epochs=0"], "model.epochs=0: must be an integer >= 1"),
    (["model=supervised", "model.learning_rate=0"], "model.learning_rate=0: must be a finite"),
    ([FEATURE_MATCHING, "model.beta1=1"], "model.beta1=1: must be a number >= 0 and < 1"),
    ([BAD_GAN, "model.beta2=1"], "model.beta2=1: must be a number >= 0 and < 1"),
    ([FEATURE_MATCHING, "model.averaging_rate=0"], "model.averaging_rate=0: must be a finite"),
    ([FEATURE_MATCHING, "model.unlabeled_weight=0"], "model.unlabeled_weight=0: must be a finite"),
    ([FEATURE_MATCHING, "data.batch_size=1"], "data.batch_size=1: must be an integer 2 to 100000"),
    (
        [FEATURE_MATCHING, "callbacks.samples.num_images=1"],
        "callbacks.samples.num_images=1: must be an integer 2 to 10000",
    ),
    (
        [BAD_GAN, "model.low_density_weight=-1"],
        "model.low_density_weight=-1: must be a number >= 0",
    ),
    ([BAD_GAN, "model.low_density_start=-1"], "model.low_density_start=-1: must be an integer"),
    (
        [BAD_GAN, "model.unlabeled_weight=-1"],
        "model.unlabeled_weight=-1: must be a number >= 0",
    ),
    ([BAD_GAN, "data.batch_size=1"], "data.batch_size=1: must be an integer 2 to 100000"),
    (
        ["data.labeled_split=random", "data.num_labeled=9"],
        "data.num_labeled=9: must be at least the number of classes (10)",
    ),
    (["data=digits", "data.num_labeled=1438"], "must be an integer 1 to 1437"),
    (["data=cifar10", "data.num_labeled=50001"], "must be an integer 1 to 50000"),
    (["data=svhn", "data.num_labeled=73258"], "must be an integer 1 to 73257"),
    (
        ["data=cifar10", "data.classes=[cat,7]"],
        "different classes of airplane, automobile, bird, cat, deer",
    ),
    (
        ["data.labeled_split=balanced", "data.num_labeled=9"],
        "data.num_labeled=9: must be at least the number of classes (10)",
    ),
    (
        ["data.classes=[0,10]"],
        "data.classes=[0, 10]: must be null or a list of 2 or more different",
    ),
    (
        ["data.classes=[3,5,7]", "data.labeled_split=balanced", "data.num_labeled=2"],
        "data.num_labeled=2: must be at least the number of classes (3)",
    ),
    (
        ["-m", "data=fashion_mnist", "data.unlabeled_classes=[T-shirt/top,Ankle boot],[Shoe]"],
        "data.unlabeled_classes=['Shoe']: must be null or a list of 1 or more different classes",
    ),
    (["data=image_folder"], "data.root=???: has no default and must be given"),
    (["data=image_folder", "data.root=x", "data.channels=2"], "must be one of 1, 3"),
    (["data=image_folder", "data.root=x", "data.image_size=[28]"], "must be [height, width]"),
    (["data=image_folder", "data.root=x", "data.image_size=[3,28]"], "integers >= 4"),
    (
        ["experiment=best", "model=improved_pi_model"],
        "model.generator_channels=64: is no key of model=pi_model; must be one of _target_, discr",
    ),
    (["-m", "model=vat,sgan", "++model.epsilon=1"], "model.epsilon=1: is no key of model=sgan"),
    (["model._target_=os.system"], "model._target_=os.system: must be a class of sgan_lab, "),
    (["-m", "data.num_labeled=50,0"], "data.num_labeled=0: must be an integer 1 to 60000"),
    (["-m", "seed=1,2", "iterations=5,-5"], "iterations=-5: must be an integer >= 1"),
]
WITHOUT_A_GAN = [
    ("pseudo_label", "threshold=1", "must be a number >= 0 and < 1"),
    ("pi_model", "weight=-1", "must be a number >= 0 and <= 1000000"),
    ("pi_model", "ramp_up=1.1", "must be a number >= 0 and <= 1"),
    ("pi_model", "learning_rate_decay=-0.1", "must be a number >= 0 and <= 1"),
    ("pi_model", "unlabeled_batches=0", "must be an integer 1 to 1000"),
    ("mean_teacher", "target_dropout=0.5", "must be one of False, True"),
    ("improved_pi_model", "distribution_alignment=yes", "must be one of False, True"),
    ("mean_teacher", "averaging_rate=null", "must be a finite number > 0"),
    ("vat", "epsilon=0", "must be a finite number > 0"),
    ("vat", "power_iterations=0", "must be an integer 1 to 1000"),
    ("vat", "entropy_weight=-1", "must be a number >= 0 and <= 1000000"),
]
MISSPELLED = [
    (["data.num_labelled=10"], "Did you mean num_labeled?"),
    (["model.lerning_rate=1", "model=supervised"], "Did you mean learning_rate?"),
    (["iteration=5"], "Did you mean iterations?"),
    (["model=sgn"], "Did you mean sgan?"),
    (["experiment=tutorial_sgann"], "Did you mean tutorial_sgan"),
    (["-m", "data.num_labelled=10,20"], "Did you mean num_labeled?"),
    (["-m", "data=mnst,digits"], "Did you mean mnist"),
]


def check(result, tmp_path, message):
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("override", "allowed"), BAD_VALUES)
def test_a_bad_value_is_named_with_what_is_allowed(program, tmp_path, override, allowed):
    result = program(override)
    check(result, tmp_path, f"{override.replace(chr(39), '').split('=')[0]}=")
    assert allowed in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("arguments", "message"), OTHER_GROUPS)
def test_bad_values_of_other_groups_and_of_sweeps(program, tmp_path, arguments, message):
    result = program(*arguments)
    check(result, tmp_path, message)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("model", "setting", "allowed"), WITHOUT_A_GAN)
def test_bad_values_of_models_without_a_gan(model, setting, allowed):
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = compose("config", [f"model={model}", f"model.{setting}"])
    shown = setting.replace("null", "None")
    with pytest.raises(ConfigError, match=re.escape(f"model.{shown}: {allowed}")):
        check_values(config)


@pytest.mark.parametrize(("arguments", "message"), MISSPELLED)
def test_a_misspelled_name_gets_near_matches(program, tmp_path, arguments, message):
    check(program(*arguments), tmp_path, message)


def test_a_full_traceback_on_demand(command_line):
    result = command_line("iterations=0", HYDRA_FULL_ERROR="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ConfigError: iterations=0" in result.stderr


@pytest.mark.parametrize("folder", ["/proc/run", "/dev/null/run"])
@pytest.mark.parametrize("sweep", [False, True])
def test_a_folder_that_cannot_be_written_is_named(command_line, tmp_path, folder, sweep):
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    arguments = ["-m", "seed=0,1"] if sweep else []
    result = command_line(*arguments, f"{key}={folder}")
    check(result, tmp_path, f"{key}={folder}: cannot be written")


def test_tensorboards_own_folder_is_checked(command_line, tmp_path):
    result = command_line("logger.tensorboard.save_dir=/proc/events", "data=digits")
    check(result, tmp_path, "logger.tensorboard.save_dir=/proc/events: cannot be written")


def test_an_earlier_run_is_not_overwritten(command_line, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "metrics.json").write_text("precious")
    result = command_line("hydra.run.dir=old")
    assert result.returncode == 1
    assert "hydra.run.dir=old: already holds a run" in result.stderr
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["metrics.json"]
    assert (tmp_path / "old" / "metrics.json").read_text() == "precious"


def test_a_value_that_cannot_be_resolved_is_named(command_line, tmp_path):
    result = command_line("+trainer.new=${oc.env:ABSENT}")
    check(result, tmp_path, "Environment variable 'ABSENT' not found")
    result = command_line("+logger.tensorboard.new=${oc.env:ABSENT}", "hydra.run.dir=run")
    assert "Environment variable 'ABSENT' not found" in result.stderr
    assert "Traceback" not in result.stderr
    assert read_status(tmp_path / "run").state == "failed"


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_class_names_are_known_before_a_data_set_is_loaded(name):
    names = class_names(OmegaConf.create({"data": {"name": name}}))
    assert [each.split(" - ")[0] for each in getattr(datasets, name).classes] == list(names)


@pytest.mark.parametrize(
    ("classes", "allowed"),
    [
        *((classes, True) for classes in (None, ["a", "b"], ["5", "a"], [5, "b"])),
        *((classes, False) for classes in ([], ["a"], ["a", "a"], [5, "5"], ["a", "x"])),
        *((classes, False) for classes in ("ab", "a", 5, {"a": 1, "b": 2}, ["a", None], [["a"]])),
    ],
)
def test_classes_are_a_list_of_different_names(classes, allowed):
    value = OmegaConf.create({"classes": classes}).classes
    assert Classes(["a", "b", "5"], 2).allows(value) == allowed


def test_one_thing_is_done_at_a_time(command_line):
    result = command_line("-m", "seed=0,1", "--cfg", "job")
    assert (result.returncode, result.stderr) == (1, "--multirun and --cfg exclude each other.\n")
