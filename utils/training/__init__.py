"""Training: used by main_train_stage1.py, main_train_stage2.py and the training of PWC-Net."""
