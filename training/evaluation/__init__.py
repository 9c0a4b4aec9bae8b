"""Measuring a model where it was not made: other people's texts, behaviour, fairness, topics, beside simpler means.

    sets ──────▶ figures ─┐
    checklist ────────────┤
    fairness ─────────────┼──▶ report (build/training/report.json) ──▶ tables, plots
    topics ───────────────┤
    stability, threshold ─┘

    predictors, baselines: what is measured, each behind `probabilities(texts)`
    paired: which of two is better on the same rows

The labelled sets and the CheckList suite lie in a folder beside the repository, or where `TIDINGS_DATA_DIR` says. They are for
measuring alone: nothing here trains on them.
"""
