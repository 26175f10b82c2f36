"""Thin shells around `maaf_lab.plots`: what a notebook shows, what a person presses, what is sent to the kernel."""
