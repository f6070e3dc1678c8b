"""A run's scores and examples → what TensorBoard shows."""
