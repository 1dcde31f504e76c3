"""The HTTP service: requests, limits, batches, assignments. It knows no model: `backend` says what it is given."""
