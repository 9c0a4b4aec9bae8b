"""`tidings alerts`: the open alerts, and what people make of them.

What is open is read from Redis, what was from `sentiment.alerts`. Whatever is to be done is written into `sentiment.signals`,
so that the alert role, a rebuild and a backtest come to the same decisions by it:

    commands ──▶ book (Redis)     list, show            commands ──▶ actions ──▶ control records ──▶ alert role ──▶ Redis
             └─▶ history (Kafka)  show, history
"""
