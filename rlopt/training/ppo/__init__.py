"""PPO for titles: a subclass of trl's GRPOTrainer with a critic, GAE and a per-token KL penalty to the SFT policy."""
