"""The ledger of candidates: how many the same test items were asked about. The best of many looks good by chance."""

import hashlib
import json

from rlopt.run import Run
from rlopt.stages.offline_eval.case import Case

LEDGER = "candidates"


def candidates_so_far(run: Run, case: Case) -> int:
    """Write the evaluated titles into the run's ledger; how many different ones these test items have been asked about.

    The same titles again are the same candidate; other clicks, as after an update, begin another count.
    """
    test, written = case.test, case.mine.written
    asked = _digest([[item.item_id for item in test.items], test.clicks.tolist()])
    candidate = _digest([written.item.tolist(), written.title])
    ledger = run.metrics(LEDGER)
    known = {str(row["candidate"]) for row in ledger.rows() if row["asked"] == asked}
    if candidate not in known:
        ledger.write({"asked": asked, "candidate": candidate, "name": case.new})
    return len(known | {candidate})


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
