"""The same work in remjax and in each of its peers, side by side."""
