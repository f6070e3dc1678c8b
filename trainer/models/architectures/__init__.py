"""One module per model: its settings, its network and a summary. `trainer.models.registry` finds them.

A new model is a module here and `configs/model/<name>.yaml`. The module defines

- one frozen dataclass, a subclass of `ModelConfig`, whose `name` is the name of the module,
- `build(config, *, specs, stats, num_classes)`, which returns a Keras model and reads no files; its last layer is that
  of `blocks.logits`,
- `SUMMARY`, a few words for `beamtune models`,
- where the model starts from pretrained weights, `load_pretrained(model, config)`.

It takes Keras and the shared blocks from `trainer.models.lazy`. Keras layers with a class of their own are in
`trainer.models.layers`.
"""
