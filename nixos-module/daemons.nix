# The daemons, by what follows "aquatic-" in their names: what the module has to know of
# each besides its settings.
builtins.fromTOML (builtins.readFile ../packaging/daemons.toml)
