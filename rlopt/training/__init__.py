"""How a policy learns: supervised fine-tuning and PPO. The only package that imports trl."""
