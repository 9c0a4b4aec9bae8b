"""A plain confluent-kafka loop around transformers' `pipeline`, message by message: what most begin with.

At least once: offsets are committed every 100 messages, after the producer was flushed. The pipeline runs the same ONNX file,
on ONNX Runtime, as optimum's `ORTModelForSequenceClassification` would.
"""

import json
import os
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import torch
from engine import BOOTSTRAP, GROUP, INPUT, LABELS, OUTPUT, encoded, prediction  # type: ignore[import-not-found]
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TextClassificationPipeline,
)

_COMMIT_EVERY = 100


class OnnxClassifier(PreTrainedModel):
    """The exported model where transformers looks for one of its own."""

    config_class = PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        import onnxruntime as ort  # type: ignore[import-untyped] # noqa: PLC0415 - only this class needs it

        self.anything = torch.nn.Parameter(torch.zeros(1))
        self._session = ort.InferenceSession(os.environ["PEER_MODEL"], providers=["CPUExecutionProvider"])

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        """Return the logits."""
        tensors = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return SimpleNamespace(logits=torch.from_numpy(self._session.run(None, tensors)[0]))


class Classification(TextClassificationPipeline):
    """transformers' own, but for the answer, which is no `ModelOutput`."""

    def _forward(self, model_inputs: Any) -> Any:  # type: ignore[override]
        inputs = {name: model_inputs[name] for name in ("input_ids", "attention_mask")}
        return {"logits": self.model(**inputs).logits}


def classifier() -> Any:
    """Return transformers' text classification over the exported model."""
    names = dict(enumerate(LABELS))
    config = PretrainedConfig(id2label=names, label2id={label: number for number, label in names.items()})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=os.environ["PEER_TOKENIZER"],
        model_max_length=int(os.environ["PEER_MAX_LENGTH"]),
        pad_token="[PAD]",  # noqa: S106 - a token of the vocabulary
        model_input_names=["input_ids", "attention_mask"],
    )
    return Classification(model=OnnxClassifier(config), tokenizer=tokenizer)


def main() -> None:
    """Read, classify, produce; until it is ended."""
    classify, done = classifier(), 0
    consumer = ck.Consumer(
        {"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    producer = ck.Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "linger.ms": 5})
    consumer.subscribe([INPUT])
    while True:
        message = consumer.poll(0.2)
        if message is None or message.error():
            continue
        read = json.loads(message.value() or b"")
        found = {one["label"]: one["score"] for one in classify(read["text"], truncation=True, top_k=None)}
        key, value = encoded(prediction(read["id"], [found[label] for label in LABELS]))
        producer.produce(OUTPUT, value, key)
        producer.poll(0)
        done += 1
        if done % _COMMIT_EVERY == 0:
            producer.flush()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()
