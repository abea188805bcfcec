"""Three simulated stories with published numbers, run through the whole loop and ending in postmortems.

In: a folder and a seed. Out: a store and a postmortem per story. Always true: nothing here comes from anybody's data; the
figures are those that guides to AI incidents tell, the texts are made up, and the same seed tells the same story.
"""

from andon.demo.records import Story, Told
from andon.demo.serving import play
from andon.demo.stories import STORIES
from andon.demo.tell import tell

__all__ = ["STORIES", "Story", "Told", "play", "tell"]
