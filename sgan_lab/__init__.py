"""Learn a classifier from a handful of labels with a GAN."""

import logging

__version__ = "0.2.0"

# Set before it is imported: it warns where its cache has no place to stay, as in a read-only home.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
