"""Other systems, doing the same job each in its own idiom. Run by the scenario `peers`, each in an environment of its own.

Nothing here is imported by Tidings, and nothing here imports it: the environments have the peer's packages alone.
"""
