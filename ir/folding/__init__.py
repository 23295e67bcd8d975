"""What it takes to compute a constant, and how much of it a model is worth.

Entry: `budget.budget_of`.
May import: nothing.
"""
