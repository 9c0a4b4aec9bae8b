"""Moving a version of the model into service beside the one that serves, and back, without one failed request.

    candidate ─▶ measuring ─▶ gates ─▶ versions (a folder, its contract) ─▶ server (loaded beside) ─▶ switch ─▶ drain

A version is a folder in the model's folder, with the contract of its own in it. `contract.json` beside the configuration names
the one that serves: workers look at it and go over between two batches. `promotions.jsonl` remembers what served before.
"""
