"""Export of specialists into folders that other engines load: one file a form, each reached by its name through the
registry."""
