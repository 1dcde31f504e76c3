"""The simulated market (true click and conversion probabilities), and gymnasium environments over it."""
