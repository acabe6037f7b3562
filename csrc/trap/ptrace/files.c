/* files.c - the descriptor tables of tracees.
 *
 * The rule to keep: two tracees with one table here have one in the kernel.  The other way round it need not be known
 * (unshare(2), parents that died before their event): a table is then looked at twice.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "files.h"

struct files *files_new(void) {
    struct files *files = calloc(1, sizeof *files);
    if (files)
        files->users = 1;
    return files;
}

struct files *files_share(struct files *files) {
    if (files)
        files->users++;
    return files;
}

void files_drop(struct files *files) {
    if (files && --files->users == 0)
        free(files);
}
