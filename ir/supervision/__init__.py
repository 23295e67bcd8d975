"""What a process tells the one that supervises it: what it runs, and what is to be removed when it dies.

Entry: `telling.running`.
May import: nothing.
"""
