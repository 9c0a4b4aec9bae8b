"""`tidings rules`: rule files held against what the worker understands, before it has to."""
