"""A run → `model_card.md`: purpose, data, scores and limits of its model, in the format of the Hugging Face hub."""
