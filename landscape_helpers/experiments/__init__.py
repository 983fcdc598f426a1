"""The papers' experiments: parameters in, one ``xarray.Dataset`` out. One module a chapter."""
