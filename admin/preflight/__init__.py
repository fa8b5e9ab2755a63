"""Checks whether a network is ready for backups: what docs/network.md asks for, through the APIs.

    make preflight SrcEFS=fs-0123456789abcdef0 VpcId=vpc-0a1b2c3d Subnets=subnet-0a1b2c3d,subnet-…
    make preflight STACK=name

Only reads. `facts` asks, `network` computes; `source`, `reaching`, `services` and `resources`
judge, and `checks` lists what they do; `__main__` is the command.
"""
