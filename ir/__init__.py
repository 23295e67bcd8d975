"""The nouns: models, linears, blocks and plans; no torch, no onnxruntime."""
