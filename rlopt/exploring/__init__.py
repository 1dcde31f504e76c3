"""Exploration: a posterior over an item's titles, the next batch's allocation, and what it is expected to teach."""
