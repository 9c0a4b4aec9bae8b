"""Training: from rated snippets to a model in Triton's repository.

    data ─▶ finetune ─▶ calibrate ─▶ evaluate ─▶ card          (train.py: one whole run, kept only when complete)
              │ adapter + head (1 MB, committed)
              └─▶ merge ─▶ ONNX ─▶ gates ─▶ triton_repo/<model>  (export.py: written only if every gate passes)

This package and `worker` never import each other; `contract.json` beside the exported model is all they share.
`training.data` needs nothing but the standard library.
"""
