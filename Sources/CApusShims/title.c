#define _GNU_SOURCE
#include "CApusProcess.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *title_area;
static size_t title_capacity;

// The C library gives these to constructors too. The kernel lays the arguments out one after the other.
__attribute__((constructor)) static void find_arguments(int count, char **arguments) {
    if (count <= 0 || arguments == NULL || arguments[0] == NULL) {
        return;
    }
    char *end = arguments[0];
    for (int index = 0; index < count && arguments[index] == end; index++) {
        end += strlen(end) + 1;
    }
    title_area = arguments[0];
    title_capacity = (size_t)(end - arguments[0]);
}

void apus_set_title(const char *title) {
    if (title_capacity > 0) {
        // The last byte stays 0: else the kernel would show what lies behind, the environment.
        size_t length = strnlen(title, title_capacity - 1);
        memcpy(title_area, title, length);
        memset(title_area + length, 0, title_capacity - length);
    }
    // Of the main thread, whichever this is; the file is not ours to open once we have changed our user.
    int fd = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, title, strnlen(title, 15));
        (void)ignored;
        close(fd);
    } else if (gettid() == getpid()) {
        prctl(PR_SET_NAME, title);
    }
}
