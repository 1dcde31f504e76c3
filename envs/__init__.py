"""The simulated market (true click and conversion probabilities), replay of logged arms, gymnasium environments."""

OF_RLOPT = True  # see rlopt/neighbours.py
