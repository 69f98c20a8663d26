"""Data sets, their labeled and unlabeled parts, and the batches drawn from them."""
