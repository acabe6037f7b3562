/* inherited.c - descriptors of lower files that CMD has from before there was a view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "inherited.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "../process/descriptor.h"

void inherited_note(pto_view *view, pid_t pid) {
    char real[PATH_MAX];
    snprintf(real, sizeof real, "/proc/%d/fd", (int)pid);
    CLOSE_DIRECTORY *dir = opendir(real);
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        int flags = entry->d_name[0] == '.' ? -1 : descriptor_flags(pid, (int)strtol(entry->d_name, NULL, 10));
        bool reads = flags >= 0 && (flags & (O_ACCMODE | O_PATH | O_CLOEXEC)) == O_RDONLY;
        ssize_t length = reads ? readlinkat(dirfd(dir), entry->d_name, real, sizeof real - 1) : -1;
        real[length > 0 ? length : 0] = '\0';
        if (real[0] == '/')
            view_opened_before(view, real);
    }
}
