"""The papers' experiments: parameters in, one ``xarray.Dataset`` out. One module an experiment.

Each has its parameters with their defaults, ``DEFAULTS``; ``validate(parameters)``, which completes those that are
given and refuses what cannot run, with a ValueError of one line and before any data is read; and

.. code-block:: python

    run(parameters, *, seed, device="cpu", checkpoint=None, progress=None)

Its arguments mean the same everywhere, and its own docstring says what they mean beyond that:

- ``parameters``: any of ``DEFAULTS``; the rest take their default.
- ``seed``: of the initialisation and of every other random choice.
- ``device``: a torch device, ``"cpu"`` or ``"cuda"``.
- ``checkpoint``: file for an unfinished run; an existing one is resumed. It may still be there at the end: delete it
  once the result is stored, and nothing is lost whenever the process is killed.
- ``progress``: called as a run goes on, with (done, in all, loss).

The dataset holds what was measured, by names and with units; its attributes say how it was made, as
:mod:`.provenance` writes them, and their ``status`` is "completed" or how it ended. A parameter ``steps`` is the number
of a descent's updates, recorded along a dimension ``step``.

After a change of the code ``verify`` repeats ``beginning(parameters)``, the parameters of a cheap part of a run, and
``REPEATS`` says how closely its variables must come out again. Only :mod:`.gradient_oscillation`, of which it repeats
the first steps, has neither.
"""
