"""Law of where the commands of levers stand."""

from andon.cli import app


def test_each_group_of_commands_is_added_once() -> None:
    """Of two groups of one name only the last would be reached; what decides on versions is a group beside that of levers."""
    names = [group.name for group in app.registered_groups]
    assert len(names) == len({*names})
    assert {"lever", "rollout"} <= {*names}
