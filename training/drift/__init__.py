"""Whether what comes in, and what the model says of it, is still like what it was trained and judged on.

rows (JSONL) ─▶ features ─▶ statistics against a reference ─▶ a table, an exit code
"""
