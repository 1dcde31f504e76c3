"""The simulated market (true click and conversion probabilities), replay of logged arms, gymnasium environments."""
