"""`tidings backtest`: rules over history, held to what really happened.

The modules, and who calls whom:

    commands ──▶ inputs (JSON lines, Parquet, a topic) ──▶ rows: signals, predictions, labelled rows become signals
        ├──────▶ running ──▶ alert.backtest, the code of the live worker
        ├──────▶ scoring (against incidents) ▸ comparing (two rule files) ▸ report
        └──────▶ timeline ──▶ running again, over a few keys ▸ trace ▸ plot
"""
