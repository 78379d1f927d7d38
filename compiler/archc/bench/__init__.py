"""Layers side by side with other ways to compute them: measured in turn, never before their results agree."""
