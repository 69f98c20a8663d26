"""Every bad value through the command line: one message, exit status 1, nothing written."""

import re

import pytest
from hydra import compose, initialize_config_dir

from sgan_lab.config import checks
from sgan_lab.config.checks import check_classes, check_values
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.config.settings import LOADER
from sgan_lab.errors import ConfigError

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
    ("log_interval=0", "must be an integer >= 1"),
    ("cuda_graph=1", "must be one of False, True"),
    ("compile=fast", "must be one of null, inductor, eager"),
    ("sweep.metric=''", "must be a name"),
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
    (["model.generator=conv9", "data.batch_size=1"], "data.batch_size=1: must be an integer 2 to"),
    (["model.generator=other"], "model.generator=other: must be one of tutorial, conv9"),
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
    (["data.labeled_list=list.txt"], "data.num_labeled=100: must be null"),
    (
        ["data.labeled_split=suggested", "data.num_labeled=null"],
        "data.num_labeled=None: must be an integer >= 2",
    ),
    (
        ["data.labeled_split=suggested", "data.labeled_list=list.txt"],
        "data.labeled_list=list.txt: must be null",
    ),
    (["data.labeled_split=suggested", "trainer=ddp"], "trainer.devices=2: must be one of 1"),
    (
        ["data=image_folder", "data.root=x", "data.test_fraction=1"],
        "data.test_fraction=1: must be a number > 0 and < 1",
    ),
    (
        ["data=image_folder", "data.root=x", "data.folds=3", "data.fold=3"],
        "data.fold=3: must be an integer 0 to 2",
    ),
    (
        ["data=image_folder", "data.root=x", "data.folds=3", "data.labeled_list=x", "data.fold=3"],
        "data.fold=3: must be an integer 0 to 2",
    ),
    (
        ["data=image_folder", "data.root=x", "data.background=whit"],
        "data.background=whit: must be a color, such as white, lightgray, #1f77b4",
    ),
    (
        ["data.augmentation=1"],
        "data.augmentation=1: is a group: data/augmentation=digits|none|photos|strong",
    ),
    (
        ["data/augmentation=photo"],
        "must be one of digits, none, photos, strong. Did you mean photos",
    ),
    (
        ["data.augmentation.crop=0.6"],
        "data.augmentation.crop=0.6: must be a number >= 0 and <= 0.5",
    ),
    (["data=image_folder"], "data.root=???: has no default and must be given"),
    (["data=image_folder", "data.root=x", "data.channels=2"], "must be one of 1, 3"),
    (
        ["data=image_folder", "data.root=x", "data.image_size=[28]"],
        "must be a list of 2, each an integer 4 to 4096",
    ),
    (["data=image_folder", "data.root=x", "data.image_size=[3,28]"], "each an integer 4 to 4096"),
    (
        ["experiment=best_with_gan", "model=improved_pi_model"],
        "model.generator_channels=64: is no key of PiModel. There are discriminator, iterations,",
    ),
    (
        ["-m", "model=vat,sgan", "++model.epsilon=1"],
        "model.epsilon=1: is no key of SGAN.",
    ),
    (["model._target_=5"], "model._target_=5: must be the dotted name of a class"),
    (["model._target_=sgan_lab.sgan.SGAN"], "does not exist; there are sgan_lab.algorithms.sgan"),
    (["+num_labeled=50"], "num_labeled=50: is no key of the configuration. Did you mean data.num"),
    (["+iteratons=10"], "iteratons=10: is no key of the configuration. Did you mean iterations?"),
    (
        ["+sweep.resum=x"],
        "sweep.resum=x: is no key of the configuration. Did you mean sweep",
    ),
    (
        ["+callbacks.samples.n=5"],
        "callbacks.samples.n=5: is no key of SampleGrid. There are n",
    ),
    (["+callbacks.mine.x=5"], "callbacks.mine._target_=None: must be the dotted name of a class"),
    (
        ["trainer.max_steps=5"],
        "trainer.max_steps=5: is no key of the configuration. Give it",
    ),
    (["+trainer.max_epochs=5"], "trainer.max_epochs=5: give model.epochs instead"),
    (["+trainer.gradient_clip_val=1.0"], "SGAN steps its optimizers by itself, which excludes it"),
    ([BAD_GAN, "+trainer.accumulate_grad_batches=2"], "BadGAN steps its optimizers by itself"),
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
    (["data.num_labelled=10"], "Did you mean data.num_unlabeled or data.num_labeled?"),
    (["num_labeled=10"], "Did you mean data.num_unlabeled or data.num_labeled?"),
    (["model.lerning_rate=1", "model=supervised"], "Did you mean model.learning_rate?"),
    (["iteration=5"], "Did you mean iterations?"),
    (
        ["lr=1"],
        "model.labeled_learning_rate or model.unlabeled_learning_rate or model.generator_learn",
    ),
    (["model.log_interval=5"], "Did you mean log_interval?"),
    (["modell=sgan"], "Did you mean model?"),
    (["model=sgn"], "Did you mean sgan?"),
    (["experiment=tutorial_sgann"], "Did you mean tutorial_sgan"),
    (["-m", "data.num_labelled=10,20"], "Did you mean data.num_unlabeled or data.num_labeled?"),
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
    result = program(*arguments)
    check(result, tmp_path, message)
    assert result.stderr.count("\n") == 1
    assert "+" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra.mode=MULTIRUN", "seed=0,x"],
        ["experiment=quickstart", "seed=0,x"],
        ["-m", "seed=0,x"],
    ],
)
def test_sweeps_are_checked_however_they_are_asked_for(program, tmp_path, arguments):
    check(program(*arguments, "seed=0,x"), tmp_path, "seed=x: must be an integer 0 to 4294967295")


GOOD = [
    ["model=supervised", "+trainer.gradient_clip_val=1.0"],
    ["+trainer.gradient_clip_val=null", "+trainer.max_time=00:01:00:00"],
    ["+callbacks.mine._target_=pytorch_lightning.callbacks.Timer", "+callbacks.mine.x=5"],
    [
        "+logger.mine._target_=pytorch_lightning.loggers.CSVLogger",
        "+hydra.callbacks.mine._target_=sgan_lab.jobs.sweep.Sweep",
    ],
    ["model.labeled_learning_rate=${model.generator_learning_rate}", "num_threads=1024"],
    ["data.classes=[3,5]", "data.unlabeled_classes=[7]", "data.num_labeled=60000"],
    ["data=image_folder", "data.root=x", "data.image_size=[4,4096]", "data.channels=3"],
    ["data.labeled_list=list.txt", "data.num_labeled=null", "data.num_unlabeled=5"],
]


@pytest.mark.parametrize("overrides", GOOD)
def test_good_values_and_classes_of_the_users_own_pass(overrides):
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        check_values(compose("config", overrides))


NEEDED = {
    "image_folder": ["data.root=x"],
    "own": ["data.source._target_=tests.builders.make_data"],
    "early_stopping": ["data.num_validation=10"],
    "best_checkpoint": ["data.num_validation=10"],
}


OPTIONS = ["model", "data", "data/augmentation", "trainer", "callbacks", "logger", "trial"]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_a_group_passes(option, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda _: True)  # of loggers that are not installed
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        for file in (CONFIG_PATH / option).glob("*.yaml"):
            given = NEEDED.get(file.stem, [])
            check_values(compose("config", [f"{option}={file.stem}", *given]))


@pytest.mark.parametrize("line", ["iteratons: 3", "sample_intervall: 1", "sweep: {resum: x}"])
def test_a_misspelled_key_of_an_own_experiment_is_refused(command_line, tmp_path, line):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{line}\n")
    result = command_line("--config-dir=conf", "experiment=mine")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "is no key of the configuration. Did you mean" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "expected the node content"),
        (b"\xff\xfe", "codec can't decode"),
        (b"- 1", "is no key of the configuration"),
        (b"x: !!python/object/apply:os.system [touch x]", "could not determine a constructor"),
        (b"x: " + b"[" * 1500, "recursion"),
    ],
)
def test_a_damaged_file_of_the_users_is_one_line(command_line, tmp_path, content, message):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_bytes(content)
    result = command_line("--config-dir", ".", "experiment=mine")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["experiment"]


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


@pytest.mark.parametrize("key", ["trainer.new", "logger.tensorboard.new", "callbacks.samples.new"])
def test_a_value_that_cannot_be_resolved_is_named(program, tmp_path, key):
    result = program(f"+{key}=${{oc.env:ABSENT}}")
    check(result, tmp_path, f"{key}: KeyError raised while resolving interpolation")
    assert "Environment variable 'ABSENT' not found" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_logger_without_its_package_names_the_extra(program, tmp_path, monkeypatch, logger):
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    message = f"logger.{logger} needs a package: pip install 'sgan-lab[{logger}]'\n"
    check(program(f"+logger={logger}"), tmp_path, message)


@pytest.mark.parametrize("classes", [None, ["3", "5"], ["5", 3], [0, 1, 2]])
def test_classes_are_a_list_of_different_names(classes):
    check_classes({"_target_": LOADER, "name": "MNIST", "classes": classes})


@pytest.mark.parametrize(
    "classes",
    [[], ["3"], ["3", "3"], [5, "5"], ["3", "x"], "35", 5, {"3": 1, "5": 2}, [3, None], [["3"]]],
)
def test_what_is_no_list_of_different_classes_is_refused(classes):
    with pytest.raises(ConfigError, match="must be null or a list of 2 or more different classes"):
        check_classes({"_target_": LOADER, "name": "MNIST", "classes": classes})


def test_one_thing_is_done_at_a_time(command_line):
    result = command_line("-m", "seed=0,1", "--cfg", "job")
    assert (result.returncode, result.stderr) == (1, "--multirun and --cfg exclude each other.\n")
