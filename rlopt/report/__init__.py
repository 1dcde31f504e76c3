"""What people read: the evaluation report (HTML, JSON), figures and model cards."""
