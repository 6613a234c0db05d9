"""The motion of the camera: its model, and its estimation from matches and from pixels."""
