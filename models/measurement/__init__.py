"""What optical flow between the two views says about motion."""
