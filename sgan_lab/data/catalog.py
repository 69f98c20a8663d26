"""What is known of each data set before it is loaded. This module imports no torch.

A torchvision data set is added by an entry here and a file in conf/data that names it.
"""

from dataclasses import dataclass

IDX = "sgan_lab.data.torchvision_sets.read_idx"
ARRAYS = "sgan_lab.data.torchvision_sets.read_arrays"
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataSet:
    """A data set as it is published.

    Attributes:
        reader: dotted name of the function that reads it. The function takes the name of the data
            set and the folder that holds it, and returns the training and the test images as two
            `LabeledImages`.
        image_shape: (channels, height, width) of every image.
        training_images: number of training images.
        test_images: number of test images.
        class_names: a name for each label.
    """

    reader: str
    image_shape: tuple[int, int, int]
    training_images: int
    test_images: int
    class_names: tuple[str, ...]


def names(text: str) -> tuple[str, ...]:
    """Names without spaces, from one text."""
    return tuple(text.split())


# The name of a torchvision data set is the name of its class in torchvision.datasets.
DATA_SETS = {
    "MNIST": DataSet(IDX, (1, 28, 28), 60_000, 10_000, DIGITS),
    "FashionMNIST": DataSet(
        IDX,
        (1, 28, 28),
        60_000,
        10_000,
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    "KMNIST": DataSet(IDX, (1, 28, 28), 60_000, 10_000, names("o ki su tsu na ha ma ya re wo")),
    "CIFAR10": DataSet(
        ARRAYS,
        (3, 32, 32),
        50_000,
        10_000,
        names("airplane automobile bird cat deer dog frog horse ship truck"),
    ),
    "CIFAR100": DataSet(
        ARRAYS,
        (3, 32, 32),
        50_000,
        10_000,
        names("""
            apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
            butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
            couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
            house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
            motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
            pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
            rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel
            streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
            trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """),
    ),
    "SVHN": DataSet(ARRAYS, (3, 32, 32), 73_257, 26_032, DIGITS),
    "digits": DataSet("sgan_lab.data.digits.read_digits", (1, 28, 28), 1437, 360, DIGITS),
}
