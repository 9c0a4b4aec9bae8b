"""Labelled incidents planted in streams of real texts, and how well rules and naive thresholds find them.

    texts (real, as the shipped model reads them) ─┐
    arrivals (made, or as real tweets came) ───────┼─▶ signals ─▶ running (worker.alert.backtest, naive) ─▶ measuring
    planting (incidents, which are detectable) ────┘                                           report ◀──┴─▶ plots

Set down before anything was measured, and not changed after: which incidents are planted, which of them each detector must find
(`planting`), from when to when an alert counts for one (`measuring`). Parameters were chosen on `CHOOSING` alone: other seeds,
other texts, other stretches of the real arrivals than those that are reported.
"""
