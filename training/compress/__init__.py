"""Compression: the trained model made smaller and quicker, each way held to what it may change.

    vocabulary ─▶ fewer tokens, the same answers where they suffice
    pruning    ─▶ fewer layers, heads and neurons, the matrices really smaller
    transfer   ─▶ teacher ─▶ distil ─▶ student ("fast"), saved by compact
    int8       ─▶ static int8 with SmoothQuant, and half-precision weights, as ONNX files
    tensorrt   ─▶ configurations, profiles and engines for NVIDIA's GPUs
    sweep      ─▶ every variant as a point of accuracy, latency and size

Nothing here is loaded by `tidings --help`: the commands import what they run.
"""
