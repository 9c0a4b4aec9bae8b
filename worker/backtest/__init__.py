"""`tidings backtest`: rules over history, held to what really happened.

    inputs (JSONL ▸ Parquet ▸ topic) ──▶ running ──▶ alert.backtest, the live code ──▶ scoring ▸ comparing ──▶ report
                     │                     └──▶ trace, a second pass over a few keys ──▶ plot
                    rows: signals, predictions, labelled rows ──▶ signals
"""
