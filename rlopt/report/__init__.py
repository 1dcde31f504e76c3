"""Output for people: the evaluation report (HTML, JSON), figures and model cards."""
