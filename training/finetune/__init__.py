"""Fine-tuning: an encoder and labelled texts in, a model out.

    texts (rows with soft targets) ─▶ trainer ◀─ methods    what is trained: all, LoRA, AdaLoRA, adapters, prompt, head
                                        │ ▲ ◀──── objective  the loss; its ordinal and embedding-preservation terms
                                        │ ▲ ◀──── adversary  a second look at each batch, its embeddings disturbed
                                        │ └────── weights    their running average, and the best so far
                                        ▼
                                     the best model; `fewshot` and `zeroshot` make one where labels are rare

`continual` goes on from a model with a new batch of texts, `search` looks for a recipe, `tasks` puts other heads on top.
"""
