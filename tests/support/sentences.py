"""What counts as a sentence, for laws about texts."""

import re

PROSE = re.compile(r"^(?!/).*\w \w", re.DOTALL)  # what begins with a slash marks a place in a file
