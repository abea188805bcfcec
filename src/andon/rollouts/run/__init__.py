"""What touches the store: read the arms from traffic, decide with the pure functions of the stage, write."""

from andon.rollouts.run.looking import look_at

__all__ = ["look_at"]
