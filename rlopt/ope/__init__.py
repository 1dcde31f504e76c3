"""Off-policy evaluation: estimators, intervals, the judge-based lift, diagnostics and the verdict."""
