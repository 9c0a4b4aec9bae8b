#!/usr/bin/env bash
# Written by Tidings (training/compress/tensorrt.py). Builds a TensorRT engine of each version of the model sentiment.
# Run it in the Triton image that will serve the model, on the GPU that will run it:
#   docker run --rm --gpus 1 -v REPOSITORY/sentiment:/model -v CACHE:/cache TRITON_IMAGE bash /model/build-engine.sh /model /cache
set -euo pipefail
model=$1
cache=$2
trtexec=$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)
gpu=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader --id=0 | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\n' '-')
version=$("$trtexec" --help 2>&1 | sed -n 's/.*TensorRT v\([0-9]*\).*/\1/p;T;q' || true)
for onnx in "$model"/[0-9]*/model.onnx; do
    file=$(sha256sum "$onnx" | cut -c1-16)
    engine="$cache/$gpu-trt${version:-unknown}/$file-fp16-e0be476e.plan"
    if [[ ! -s "$engine" ]]; then
        mkdir -p "$(dirname "$engine")"
        unfinished=$(mktemp "$engine.XXXXXX")  # its own: others may build the same into this cache
        trap 'rm -f "$unfinished"' EXIT
        "$trtexec" --onnx="$onnx" --saveEngine="$unfinished" --skipInference \
    --fp16 \
    --profile=0 \
    --minShapes=input_ids:1x16,attention_mask:1x16 \
    --optShapes=input_ids:64x16,attention_mask:64x16 \
    --maxShapes=input_ids:64x16,attention_mask:64x16 \
    --profile=1 \
    --minShapes=input_ids:1x32,attention_mask:1x32 \
    --optShapes=input_ids:64x32,attention_mask:64x32 \
    --maxShapes=input_ids:64x32,attention_mask:64x32 \
    --profile=2 \
    --minShapes=input_ids:1x64,attention_mask:1x64 \
    --optShapes=input_ids:64x64,attention_mask:64x64 \
    --maxShapes=input_ids:64x64,attention_mask:64x64 \
    --profile=3 \
    --minShapes=input_ids:1x128,attention_mask:1x128 \
    --optShapes=input_ids:64x128,attention_mask:64x128 \
    --maxShapes=input_ids:64x128,attention_mask:64x128 \
    --profile=4 \
    --minShapes=input_ids:1x256,attention_mask:1x256 \
    --optShapes=input_ids:64x256,attention_mask:64x256 \
    --maxShapes=input_ids:64x256,attention_mask:64x256
        mv "$unfinished" "$engine"
    fi
    plan=$(dirname "$onnx")/model.plan
    cp "$engine" "$plan.unfinished"
    mv "$plan.unfinished" "$plan"
    echo "sentiment: $engine"
done
