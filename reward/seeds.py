"""The seeds that every library here takes."""

MAX_SEED = 2**32 - 1
"""NumPy's legacy generator, which transformers and trl seed, takes none larger; all others take these."""
