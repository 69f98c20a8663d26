"""The keys of the configuration: type, range and meaning of each. Defaults stand in `conf/`.

A data set, model or callback is chosen by its `_target_`; `CLASSES` has the settings of those of
this package. Those of a class of the user's own follow from its signature, see `config.own`.
"""

import os
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

# Before the import: pydantic would look through all installed packages for plugins, 30 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from PIL.ImageColor import colormap
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo

from sgan_lab.data.catalog import DATA_SETS
from sgan_lab.networks.registry import DISCRIMINATORS, GENERATORS, LEAST_SIDE, SGAN_GENERATORS

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)

Count = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
IN_WORDS = {  # texts by their pattern
    r"^[^\x00]*[^\s\x00][^\x00]*$": "a text that is not empty",
    r"^[A-Za-z_]\w*$": "a name",
    r"^[^\W\d]\w*(\.[^\W\d]\w*)+$": "a dotted name",
    r"^([a-z]+|#[0-9a-fA-F]{6})$": "a color, such as white, lightgray, #1f77b4",
}
Text, Name, Dotted, ColorText = (Annotated[str, Field(pattern=pattern)] for pattern in IN_WORDS)
Pixels = Annotated[int, Field(ge=LEAST_SIDE, le=4096)]
BatchSize = Annotated[int, Field(ge=1, le=100_000)]
GridSize = Annotated[int, Field(ge=1, le=10_000)]
Batches = Annotated[int, Field(ge=1, le=1000)]
Channels = Annotated[  # True and 1.0 equal 1
    Literal[1, 3], BeforeValidator(lambda value: value if type(value) is int else None)
]
Color = Annotated[
    ColorText,
    BeforeValidator(
        lambda value: None if str(value).isalpha() and value not in colormap else value
    ),
]
Group = dict[str, Any]
CONSTRAINTS = ("ge", "gt", "le", "lt", "min_length", "pattern")


def key(meaning: str, default: Any = ...) -> Any:
    """A key of the configuration, with its meaning as a user reads it."""
    return Field(default, description=meaning)


def optional(meaning: str) -> Any:
    """A key that may be left out, since the class that gets it has a default."""
    return key(meaning, None)


class Settings(BaseModel):
    """Settings by key; no others, and each of exactly its type."""

    model_config = STRICT


class Sweep(Settings):
    """The group `sweep`."""

    resume: Text | None = key("folder of an earlier sweep: run what failed or did not finish")
    metric: Name = key("metric that the report compares and a sweeper maximizes")


class Root(Settings):
    """The configuration, but for what is in its groups."""

    seed: Seed = key("of all random draws")
    iterations: Count = key("iterations of training, of all models but supervised")
    sample_interval: Count = key(
        "iterations between two log lines, checkpoints and grids of images"
    )
    log_interval: Count = key("iterations between two points of the curves")
    num_threads: Annotated[int, Field(ge=1, le=1024)] | None = key(
        "CPU threads; null for the cores, or a job's share of them"
    )
    cuda_graph: bool = key(
        "on one GPU, record iterations and replay them: faster, with the same results"
    )
    compile: Literal[None, "inductor", "eager"] = key("backend of torch.compile, for GPUs")
    metrics: list[Dotted] = key("metrics of your own, functions with @metric")
    resume: Text | None = key("folder of an earlier run: go on from its checkpoint")
    sweep: Sweep = key("of sweeps")
    data: Group = key("data set and its split")
    model: Group = key("the algorithm and its settings")
    trainer: Group = key("arguments of Lightning's Trainer")
    logger: Group = key("loggers by name")
    callbacks: Group = key("callbacks by name")


class Augmentation(Settings):
    """Random changes of training images."""

    affine: Annotated[float, Field(ge=0, le=3)] = optional(
        "strength of shifts, turns, changes of size and shears"
    )
    flip: bool = optional("whether every other image is mirrored, left to right")
    crop: Annotated[float, Field(ge=0, le=0.5)] = optional(
        "how far images are moved at most, as a fraction of height and width"
    )
    brightness: Fraction = optional("a factor is drawn from 1 - this to 1 + this")
    contrast: Fraction = optional("as brightness, of the differences from the mean gray")
    saturation: Fraction = optional("as brightness, of the differences from gray")
    hue: Annotated[float, Field(ge=0, le=0.5)] = optional(
        "colors are turned by up to this fraction of the color circle"
    )
    rand_augment: Annotated[int, Field(ge=0, le=10)] = optional(
        "operations of RandAugment on each image"
    )
    magnitude: Annotated[float, Field(ge=0, le=30)] = optional("of these operations")
    cutout: Fraction = optional("side of a gray square, as a fraction of height and width")


class Data(Settings):
    """What all data sets have."""

    num_labeled: Count | None = key(
        "labeled training images, the others are the unlabeled set; null for all"
    )
    labeled_split: Literal["first", "balanced", "random", "representative", "suggested"] = key(
        "the first images, the first of each class, random ones of each class, one of "
        "each cluster of similar images, or half of them random and then those that a classifier "
        "trained on these doubts"
    )
    label_seed: Seed = key("of a labeled_split that draws, num_unlabeled, test_fraction and folds")
    labeled_list: Text | None = optional(
        "file that lists the labeled images by index or file name, a line each; "
        "num_labeled must be null"
    )
    num_unlabeled: Count | None = optional("of the unlabeled images, drawn at random; null for all")
    num_validation: Annotated[int, Field(ge=0, lt=2**31)] = key(
        "training images held out to choose settings by, the last of each class"
    )
    batch_size: BatchSize = key("images, labeled and unlabeled each")
    balanced_batches: bool = optional(
        "whether classes are equally frequent in labeled batches, in the mean"
    )
    augmentation: Augmentation = key(
        "random changes of training images; data/augmentation=photos chooses a preset"
    )


class ClassesData(Data):
    """Data whose classes can be chosen."""

    classes: list[str | int] | None = optional("names of the classes to learn; null for all")
    unlabeled_classes: list[str | int] | None = optional(
        "names of the classes of the unlabeled images; null for those to learn"
    )


class CatalogData(ClassesData):
    """A published data set."""

    name: Literal[tuple(DATA_SETS)] = key("of the data set")
    root: Text = optional("folder of the data, downloaded there when absent")


class ImageFolder(Data):
    """Images of the user's own."""

    root: Text = key("folder of the images")
    background: Color = optional("behind transparent pixels")
    labels: Text | None = optional(
        "CSV file of the columns file,class in place of labeled/ and unlabeled/"
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = optional(
        "of the labeled images of each class, where there is no test/"
    )
    folds: Annotated[int, Field(ge=2, le=1000)] | None = optional(
        "parts of the labeled images, in place of test_fraction; null for none"
    )
    fold: Annotated[int, Field(ge=0, le=999)] = optional(
        "the part that is the test set, 0 to folds - 1"
    )
    image_size: Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = optional(
        "[height, width] in pixels, to which images are resized; null for the median "
        "size, at most 64"
    )
    channels: Channels | None = optional(
        "1 for gray, 3 for color; null for 3 where an image has color"
    )
    skip_broken: bool = optional(
        "whether files that are no readable images are left out, or an error"
    )


class OwnData(ClassesData):
    """Images of a function or class of the user's own."""

    source: Group = key("the function or class, and its arguments")
    num_labeled: Count | None = key("labeled images; null for all in train")


class Model(Settings):
    """What all models have.

    Attributes:
        limits: of keys outside the model, narrower than those keys' own.
        unsupported: arguments of the Trainer that the model cannot train with, and their values
            that have no effect.
    """

    limits: ClassVar[dict[str, Any]] = {}
    unsupported: ClassVar[dict[str, Any]] = {}


LOGIT_ADJUSTMENT = "times log frequency of the label's class, in the class loss; 1 for rare classes"
WEIGHTS = "file of torchvision's weights that discriminator=resnet18 begins with; null for none"


class Discriminating(Model):
    """A model whose discriminator can be chosen."""

    discriminator: Literal[tuple(DISCRIMINATORS)] | Dotted = optional(
        "strided: the tutorial's network; pooling, wide_pooling: better classifiers, slower; for "
        "color images conv9, conv13, wide_resnet and resnet18; or the dotted name of a class of "
        "your own"
    )


class Supervised(Discriminating):
    """The discriminator trained on the labeled images alone."""

    epochs: Count = key("passes over the labeled images")
    learning_rate: Positive = key("of Adam")
    logit_adjustment: Weight = optional(LOGIT_ADJUSTMENT)
    weights: Text | None = optional(WEIGHTS)


class Iterated(Model):
    """A model whose training is measured in iterations; it steps its optimizers by itself."""

    unsupported = {
        "gradient_clip_val": None,
        "gradient_clip_algorithm": None,
        "accumulate_grad_batches": 1,
    }

    iterations: Count = key("of training")


class Classifier(Iterated, Discriminating):
    """A classifier that learns from unlabeled images, too, without a generator."""

    learning_rate: Positive = key("of Adam")
    learning_rate_decay: Fraction = key(
        "last fraction of the iterations, in which the learning rate falls to zero"
    )
    weight: Weight = key("of the loss on unlabeled images; on labeled ones it is 1")
    ramp_up: Fraction = key("first fraction of the iterations, in which the weight rises")
    unlabeled_batches: Batches = optional("with each labeled one")
    logit_adjustment: Weight = optional(LOGIT_ADJUSTMENT)
    weights: Text | None = optional(WEIGHTS)


class PseudoLabel(Classifier):
    """Pseudo-Label (Lee 2013)."""

    threshold: BelowOne = key("what the probability of a class must exceed to label an image")


class Consistency(Settings):
    """Two views of an image have equal classes, perhaps at first those of propagated labels."""

    distribution_alignment: bool = optional(
        "consistency targets with the labels' class frequencies"
    )
    class_frequencies: list[Positive] | None = optional(
        "of the targets, a number a class; null for the labels' where targets are aligned"
    )
    strong_augmentation: Augmentation = optional(
        "of the view that learns, in place of data.augmentation's of the same names"
    )
    propagation_weight: Weight = optional(
        "of the loss by which propagated labels are taught; 0 for none"
    )
    propagation_end: Fraction = optional("first fraction of the iterations, with that loss")


class PiModel(Consistency, Classifier):
    """The Pi-model (Laine and Aila 2017)."""

    target_dropout: bool = optional("in the pass whose classes are the targets")


class FixMatch(PiModel):
    """FixMatch (Sohn et al. 2020)."""

    threshold: BelowOne = key("what the probability of a class must exceed to label an image")


class FreeMatch(PiModel):
    """FreeMatch (Wang et al. 2023)."""

    threshold_rate: Fraction = key(
        "of the running averages that give the threshold, for each batch"
    )
    fairness_weight: Weight = key(
        "of the loss by which predicted classes vary, relative to that on labels"
    )


class MeanTeacher(PiModel):
    """Mean Teacher (Tarvainen and Valpola 2017)."""

    averaging_rate: Positive = key(
        "the teacher moves this / iterations of the way to the student each iteration"
    )


class VAT(Classifier):
    """Virtual adversarial training (Miyato et al. 2018)."""

    epsilon: Positive = key("norm of the perturbation over all pixels")
    power_iterations: Batches = key("steps that find the direction of the perturbation")
    entropy_weight: Weight = key("of the entropy of unlabeled images")


# Batch normalization has no variance to divide by in a batch of one.
BATCH_NORMALIZED = {
    "data.batch_size": Annotated[int, Field(ge=2, le=100_000)],
    "callbacks.samples.num_images": Annotated[int, Field(ge=2, le=10_000)],
}


class GAN(Iterated):
    """A model with a generator."""


class SGAN(GAN, Discriminating):
    """The tutorial's SGAN."""

    generator: Literal[tuple(SGAN_GENERATORS)] = optional(
        "tutorial: the tutorial's; conv9: for color images"
    )
    generator_channels: Pixels = optional(
        "of the generator's first feature map, a half and a quarter in the next"
    )
    labeled_learning_rate: Positive = key("step 1, labeled images")
    unlabeled_learning_rate: Positive = key("steps 2 and 3, unlabeled and generated images")
    generator_learning_rate: Positive = key("step 4")


class MarginGAN(SGAN):
    """MarginGAN (Dong and Lin 2019)."""

    labeled_learning_rate: Positive = key("of the classifier")
    unlabeled_learning_rate: Positive = key("of the critic")
    threshold: BelowOne = key(
        "what the probability of a class must exceed to label an unlabeled image"
    )


class ImprovedSGAN(Consistency, SGAN):
    """The SGAN with switches for what improves it."""

    joint_update: bool = optional(
        "one discriminator step instead of three, with the unlabeled learning rate"
    )
    feature_matching: bool = optional("the generator matches mean features of real images")
    label_smoothing: BelowOne = optional("the target of the real step is 1 minus this")
    consistency_weight: Weight = optional("of the Pi-model's loss in the real step")
    unlabeled_batches: Batches = optional("in the real step, with each labeled one")
    averaging_rate: Positive | None = optional(
        "the classifier moves this / iterations of the way each iteration; "
        "null for no running average"
    )
    learning_rate_decay: Fraction = optional(
        "last fraction of the iterations, in which the rates fall to zero"
    )


class FeatureMatching(GAN):
    """Feature matching (Salimans et al. 2016)."""

    limits = BATCH_NORMALIZED

    discriminator: Literal[tuple(GENERATORS)] | Dotted = optional(
        "mlp: the paper's network for MNIST; conv9: its one for CIFAR-10; or the "
        "dotted name of a class of your own"
    )
    learning_rate: Positive = key("of the discriminator")
    beta1: BelowOne = key("decay of the first moment of Adam")
    beta2: BelowOne = optional("decay of the second moment of Adam")
    unlabeled_weight: Positive = key(
        "of the loss on unlabeled and generated images; on labeled ones it is 1"
    )
    averaging_rate: Positive = key(
        "the classifier moves this / iterations of the way each iteration"
    )


class BadGAN(FeatureMatching):
    """Bad GAN (Dai et al. 2017)."""

    generator_learning_rate: Positive = key("of the generator")
    unlabeled_weight: Weight = key("of real or fake: unlabeled and generated images")
    entropy_weight: Weight = key("of the conditional entropy of unlabeled images")
    feature_matching_weight: Weight = key("of the generator's feature matching")
    pull_away_weight: Weight = key("of the generator's term for a high entropy")
    low_density_weight: Weight = key("of the generator's term for low densities")
    low_density_start: Annotated[int, Field(ge=0, lt=2**31)] = key("iterations before that term")
    density_epochs: Count = key("passes over the unlabeled images that train the density model")


class Trainer(Settings):
    """Arguments of Lightning's Trainer; it checks the others itself."""

    model_config = STRICT | ConfigDict(extra="allow")
    in_place_of: ClassVar[dict[str, str]] = {
        "max_steps": "iterations",
        "max_epochs": "model.epochs",
    }

    precision: Literal["32-true", "bf16", "bf16-mixed"] = optional(
        "of the arithmetic; bf16: for CPUs with AVX512-BF16; bf16-mixed: for GPUs"
    )


class ProgressBar(Settings):
    """Shows the iterations of a run."""


class SampleGrid(Settings):
    """Logs generated images."""

    num_images: GridSize = key("images in the grid")


class Checkpoints(Settings):
    """Writes checkpoints at each sample interval."""

    dirpath: Text = key("folder for the checkpoints")
    keep: Count = key("how many are kept, the newest")


class BestCheckpoint(Settings):
    """Keeps the best checkpoint, too."""

    dirpath: Text = key("folder for the checkpoint")
    monitor: Text = key("what is compared, such as validation/accuracy")
    mode: Literal["min", "max"] = key("max where more is better")


CLASSES: dict[str, dict[str, type[Settings]]] = {
    "data": {
        "sgan_lab.data.load.load": CatalogData,
        "sgan_lab.data.image_folder.image_folder": ImageFolder,
        "sgan_lab.data.own.own_data": OwnData,
    },
    "model": {
        "sgan_lab.algorithms.sgan.SGAN": SGAN,
        "sgan_lab.algorithms.improved_sgan.ImprovedSGAN": ImprovedSGAN,
        "sgan_lab.algorithms.margin_gan.MarginGAN": MarginGAN,
        "sgan_lab.algorithms.feature_matching.FeatureMatching": FeatureMatching,
        "sgan_lab.algorithms.bad_gan.BadGAN": BadGAN,
        "sgan_lab.algorithms.supervised.Supervised": Supervised,
        "sgan_lab.algorithms.pseudo_label.PseudoLabel": PseudoLabel,
        "sgan_lab.algorithms.pi_model.PiModel": PiModel,
        "sgan_lab.algorithms.fixmatch.FixMatch": FixMatch,
        "sgan_lab.algorithms.freematch.FreeMatch": FreeMatch,
        "sgan_lab.algorithms.mean_teacher.MeanTeacher": MeanTeacher,
        "sgan_lab.algorithms.vat.VAT": VAT,
    },
    "trainer": {"pytorch_lightning.Trainer": Trainer},
    "logger": {},
    "callbacks": {
        "sgan_lab.training.callbacks.ProgressBar": ProgressBar,
        "sgan_lab.training.callbacks.SampleGrid": SampleGrid,
        "sgan_lab.training.checkpoints.Checkpoints": Checkpoints,
        "sgan_lab.training.checkpoints.BestCheckpoint": BestCheckpoint,
    },
}
# Base classes of models; what they have in common is checked in a model of the user's own, too.
FAMILIES: dict[str, type[Model]] = {
    "sgan_lab.algorithms.base.SemiSupervisedClassifier": Classifier,
    "sgan_lab.algorithms.base.GAN": GAN,
    "sgan_lab.algorithms.base.Algorithm": Discriminating,
}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def allowed(kind: Any) -> str:
    """What an annotation allows, in words, such as "an integer >= 1 and < 2^31 or null"."""
    limits: dict[str, Any] = {}
    if get_origin(kind) is Annotated:
        kind, *metadata = get_args(kind)
        for each in metadata:
            for limit in each.metadata if isinstance(each, FieldInfo) else [each]:
                limits |= {
                    name: getattr(limit, name) for name in CONSTRAINTS if hasattr(limit, name)
                }
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join('null' if part is None else str(part) for part in parts)}"
    if get_origin(kind) is list:
        size = f" of {limits['min_length']}" if "min_length" in limits else ""
        is_limited = bool(parts) and get_origin(parts[0]) is Annotated
        return f"a list{size}, each {allowed(parts[0])}" if is_limited else f"a list{size}"
    if kind in (int, float):
        if kind is int and {"ge", "le"} <= limits.keys():
            return f"an integer {limits['ge']} to {limits['le']}"
        bounds = [
            f"{sign} {'2^31' if limits[name] == 2**31 else limits[name]}"
            for name, sign in SIGNS.items()
            if name in limits
        ]
        finite = "a number" if {"le", "lt"} & limits.keys() else "a finite number"
        return f"{'an integer' if kind is int else finite} {' and '.join(bounds)}".strip()
    if kind is str:
        return IN_WORDS.get(limits.get("pattern"), "a text")
    if kind in (bool, NoneType):
        return "null" if kind is NoneType else "one of False, True"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(allowed, parts))
    return "a group of settings"


def matches(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation allows."""
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(
            value
        )
    except ValidationError:
        return False
    return True
