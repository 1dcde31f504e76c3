"""The reward: what a title earns, learned from logged clicks and conversions.

Reads logs, aggregates impressions to arms, splits by item, and fits the LightGBM title-effect model.
This package is the lowest layer: it imports neither ``rlopt`` nor ``envs``.
"""

OF_RLOPT = True  # see rlopt/neighbours.py
