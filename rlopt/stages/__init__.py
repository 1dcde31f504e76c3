"""One file per command's work; Python users call these functions."""
