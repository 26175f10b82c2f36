"""Thin shells around `maaf_lab.views`: what a notebook shows, what a person presses, what is sent to the kernel."""
