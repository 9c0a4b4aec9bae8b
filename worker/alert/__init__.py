"""The alert role: signals in, alert events out, each exactly once.

The modules, and who calls whom:

    sentiment.signals ──▶ role ──▶ partition ──▶ decide ──▶ windows ▸ detectors ▸ lifecycle ▸ evidence
                           │           (all of these are pure, and in event time)
                           ├─▶ AlertStore: state, offset and events of one run of signals, all or nothing
                           └─▶ relay: the store's stream of events ──▶ sentiment.alerts, with the position reached

`rules` reads the rule file, `state` is what is remembered of a key, `timers` and `yaml_lines` serve the others.
"""
