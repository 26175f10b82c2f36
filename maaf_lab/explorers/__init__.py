"""Three interactive views of a trained model in a notebook: attention, retrieval, modification types."""
