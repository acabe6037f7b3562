/* entry.c - the look-up that may write: a name of a lower file whose other name was copied up becomes a link of the
 * copy.
 *
 * Rule: who walks through the view looks up here, so that links stay one file; layers/lookup.c alone never changes a
 * layer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "../layers/layers.h"
#include "upper.h"

static int join_copy(struct overlay *ovl, uint32_t d) {
    struct shared *copy;
    int error = links_copy_of(ovl, d, &copy);
    if (error || !copy)
        return error;
    if (ovl->flags & PTO_READ_ONLY)
        return links_stand_for(ovl, d);
    error = copy_up_dir(ovl, at(ovl, d)->parent);
    return error ? error : links_join(ovl, d, copy);
}

int entry_lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out) {
    int error = lookup(ovl, d, name, length, out);
    bool copies = ovl->n_shared || ovl->kernel_links >= 0;
    if (!error && copies && (at(ovl, *out)->flags & D_LINKED) && at(ovl, *out)->upper == KIND_NONE)
        error = join_copy(ovl, *out);
    return error;
}

int entry_locate(const struct location *loc, uint32_t *d) {
    struct overlay *ovl = loc->overlay;
    if (loc->dentry) {
        *d = loc->dentry;
        return 0;
    }
    const char *name = strrchr(loc->path, '/') + 1;
    int error = entry_lookup(ovl, loc->parent, name, loc->length - (size_t)(name - loc->path), d);
    return error ? error : lookup_recheck(ovl, *d);
}
