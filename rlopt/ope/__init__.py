"""What a policy would have earned: estimators, intervals, the judge-based lift, diagnostics and the verdict."""
