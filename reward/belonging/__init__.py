"""Scores in [0, 1], learned from logged titles: does a title belong to its item, and does it read like a title."""
