"""The room of main_train_stage1.py and main_train_stage2.py."""
