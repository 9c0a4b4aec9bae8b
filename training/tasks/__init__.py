"""Other tasks behind the same face as sentiment: topics of which a text may have several, and entities in it.

    labelled ─▶ heads (topics | entities) ─▶ learning (a run as any: recipe, method, early stopping) ─▶ card
                                                └─▶ serving: ONNX ─▶ gates ─▶ triton_repo/topics | entities

A head is all that a task brings: how labelled texts become rows, its loss, what is fitted on validation, what its answers mean
and how they are counted. `task.json` beside the weights says which head to read them with.
"""
