"""`tidings tune`: the settings of batching that suit a model, a machine and texts of a kind.

texts ▸ lengths ▸ edges of buckets (least padding)          search.py, pure
model ▸ seconds by shape ▸ token budget, in flight          measure.py asks, search.py chooses
"""
