"""The demo: the main job end to end, on real parts and real text, checked by a reader that trusts nobody.

    snippets ─▶ plan ─▶ producer ─▶ Kafka ─▶ `tidings work` (a process of its own) ─▶ Kafka, Redis
                 │                                                                       │
                 └──────── ledger ◀── read_committed reader, Redis stream reader ◀───────┘
                             └─▶ board ─▶ view (terminal) or plain lines ─▶ verdict: exit status and one JSON line

`plan`, `flaws`, `ledger`, `alerts`, `board` and `verdict` are pure; `clients`, `parts` and `run` touch the world.
"""
