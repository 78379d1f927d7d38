"""`archc train`: a layer, data, a loss and an optimizer; a run that can be killed at any moment and goes on unchanged.

It sees of the compiler what `archc.api` offers and nothing else. A run is a folder: `run.json` (the settings), `metrics.jsonl`
(one object an epoch), `checkpoint.safetensors` (everything needed to go on), `model.safetensors` (the trained weights).
"""
