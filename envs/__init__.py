"""The simulated market (true click and conversion probabilities), and gymnasium environments over it."""

OF_RLOPT = True  # see rlopt/neighbours.py
