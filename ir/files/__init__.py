"""Files of the machine as they are asked for: opened to be read, in one place and none that would not end.

Entry: `reading.open_file`.
May import: nothing.
"""
