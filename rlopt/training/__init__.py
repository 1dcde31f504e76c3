"""Training of policies: supervised fine-tuning and PPO. The only package that imports trl."""
