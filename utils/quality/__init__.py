"""Measures of frames beyond PSNR and SSIM."""
