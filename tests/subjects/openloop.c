/* openloop.c - subject: opens and closes one file many times: `openloop DIR COUNT`; prints by how many KiB its parent grew.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

static long parent_size(void) {
    char line[256];
    long size = -1;
    FILE *status = fopen(text("/proc/%d/status", getppid()), "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &size) == 1)
            break;
    if (status)
        (void)fclose(status);
    return size;
}

static void turns(long count) {
    for (long i = 0; i < count; i++) {
        long fd = SYS(openat, AT_FDCWD, "file", i % 2 ? O_RDONLY : O_RDWR);
        if (fd < 0)
            give_up("open");
        (void)SYS(close, fd);
    }
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    turns(1000);
    long before = parent_size();
    turns(argc > 2 ? atol(argv[2]) : 1000);
    (void)say("grew", parent_size() - before);
    return 0;
}
