"""A run while it is trained → those who follow it: one interface for TensorBoard, MLflow and others."""
