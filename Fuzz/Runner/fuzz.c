// libFuzzer's two entry points; what they do is Swift's (Fuzz/Targets/FuzzEntry.swift).
#include <stddef.h>
#include <stdint.h>

void apus_fuzz_start(void);
int apus_fuzz(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    apus_fuzz_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return apus_fuzz(data, size);
}
