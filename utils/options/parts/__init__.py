"""Parts of the options of `main_test.py`: what is tested, names of frames, and help."""
