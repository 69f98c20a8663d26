"""Generators, discriminators and the density model, a family a file."""
