"""Tidings worker: text in on Kafka, calibrated sentiment and alerts out.

```
news, chat ──▶ score role ──┬─▶ sentiment.predictions     one Kafka transaction per cycle,
               decode       ├─▶ sentiment.signals ──┐     input offsets included
               match        └─▶ sentiment.dead-letters
               tokenise                             ▼
               micro-batch ⇄ Triton            alert role ──▶ Redis: state, alert stream, hint
               calibrate                       windows            │
                                               rules              ▼
                                               life cycle     relay ──▶ sentiment.alerts
```

`messages`, `errors` and `settings` are leaves. `codec`, `score/*` and `alert/*` decide and are pure. `ports` says what the
roles need from outside, `adapters/*` provide it, `app` builds and runs everything, `cli` and `commands` are the face.
"""

__version__ = "0.1.0"
