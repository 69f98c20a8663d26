"""What a trained classifier is worth, and its use outside of this package."""
