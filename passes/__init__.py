"""The verbs: everything that computes a plan or obeys one."""
