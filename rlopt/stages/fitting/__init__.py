"""What fit-reward is made of: evidence on held-out items, the model card, updates with new logs."""
