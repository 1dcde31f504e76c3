"""The reward model and the judge: title effect within items, item baseline, outcomes, calibration."""
