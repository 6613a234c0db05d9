"""What every run needs: options, training loop, checkpoints, images, scores."""
