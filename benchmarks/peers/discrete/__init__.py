"""Updates of discrete VAEs in remjax and in PyTorch."""
