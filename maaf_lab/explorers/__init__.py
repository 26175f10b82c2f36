"""Three views of a trained model in a notebook: what is drawn, what a person can do with it, what the kernel answers."""
