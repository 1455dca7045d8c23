"""The small protocols between the layers: what a transport offers to a source.

`http` is what the three HTTP engines implement, `dimse` what the two DIMSE
engines do; a source never knows which engine it has.
"""
