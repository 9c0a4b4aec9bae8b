"""Bring the topics of a cluster to what this version needs, without ever moving a key or shortening what is kept.

```
 topic_plan (what should be) ─┐
                              ├─▶ steps.steps: make, grow, set, tell ─▶ adapters/kafka/alter: done, or only shown
 the cluster (what is)  ──────┘
```
"""
