// No declarations: libFuzzer finds what it calls by name. The folder has to exist for the build.
