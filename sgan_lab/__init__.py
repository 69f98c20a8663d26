"""Learn a classifier from a handful of labels with a GAN."""
