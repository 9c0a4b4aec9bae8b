"""Does what would be deployed hold together? `python -m deploy.check`, one line a check; nothing is left out silently.

```
 values files ─▶ helm (lint, template) ─▶ objects ─┬─▶ schemas    Kubernetes' and the operators' own, strict
                                                   ├─▶ policy     what a pod must have; kube-score besides
                                                   ├─▶ apiserver  a kube-apiserver takes it, as a dry run
 files/rules, files/dashboards ─▶ metrics          └─▶ settings   the worker reads what it would be given
```

The checks are pure functions over the objects; `tools` finds or installs the programs, `__main__` runs all and prints.
"""
