"""What is known of a data set before it is loaded."""

from dataclasses import dataclass

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataSet:
    """A data set as it is published.

    Attributes:
        reader: the module of this package that reads it.
        image_shape: (channels, height, width).
        training_images: their number.
        test_images: their number.
        class_names: a name for each label.
    """

    reader: str
    image_shape: tuple[int, int, int]
    training_images: int
    test_images: int
    class_names: tuple[str, ...]


FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker")
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
DATA_SETS = {
    "MNIST": DataSet("torchvision", (1, 28, 28), 60000, 10000, DIGITS),
    "FashionMNIST": DataSet(
        "torchvision", (1, 28, 28), 60000, 10000, (*FASHION, "Bag", "Ankle boot")
    ),
    "KMNIST": DataSet("torchvision", (1, 28, 28), 60000, 10000, KANA),
    "CIFAR10": DataSet(
        "torchvision",
        (3, 32, 32),
        50000,
        10000,
        ("airplane", "automobile", *ANIMALS, "ship", "truck"),
    ),
    "SVHN": DataSet("torchvision", (3, 32, 32), 73257, 26032, DIGITS),
    "digits": DataSet("digits", (1, 28, 28), 1437, 360, DIGITS),
}
