"""The contract with the trainer: TFRecord examples, schema and tables. No files are touched."""
