"""The score role: text in, calibrated sentiment out, once.

```
Record ─▶ codec ─▶ matching ─▶ dedupe ─▶ tokenizer ─▶ batching ─▶ Model ─▶ calibration ─▶ progress ─▶ Sink
          decode    names       known?     ids          buckets    logits   Sentiment      in order   one transaction
```

Everything but `role` and `tokenizer` is pure.
"""
