"""The trees that come with the package, as YAML files, and the functions that only they need."""
