"""Differentiable search: architecture parameters learnt by gradient, and exact search as their judge.

`choices` are a space's layers of options, `relax` turns architecture parameters into weights of options, `cost` says
what a relaxed network costs, `objective` how cost and loss are joined, `task` what is learnt, `engine` the loop, and
`exact` and `polish` what the same learned scores give when they are searched exactly. Importing any of them but
`choices` and `exact` imports torch.
"""
