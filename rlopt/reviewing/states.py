"""States of a proposal, and reasons for refusing one."""

OPEN, SECOND, DISPUTED = "open", "second", "disputed"
"""Nobody has decided; one of two readers has; the two differ."""
ACCEPTED, EDITED, REJECTED, SKIPPED = "accepted", "edited", "rejected", "skipped"
UNDECIDED = (OPEN, SECOND)
FIRM = (ACCEPTED, EDITED, REJECTED)
STATES = (OPEN, SECOND, DISPUTED, *FIRM)
ACTIONS = ("accept", "edit", "reject", "skip", "undo")
REASONS = ("misleading", "wrong", "off_brand", "harmful", "unpleasant", "unreadable", "other")
