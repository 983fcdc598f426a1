"""Whether a model, its data and a loss go together, found out before any work begins.

An objective copies what it is given, and is tried on two samples when it is made. What would otherwise fail deep in a
run, or give a number that means something else than it says, is refused here, with what was found, what was expected
and what to do.
"""
