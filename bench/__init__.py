"""Figures of Andon against what a user would run instead: `make bench only=AREA`."""
