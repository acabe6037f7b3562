/* opened.c - which lower files were opened through the view, and which of those have got a copy since.
 *
 * A descriptor of the lower file does not see what is written to the copy; the kernel's overlayfs opens the copy behind
 * it (ovl_real_file() in fs/overlayfs/file.c).  Here the one who knows the tracees gives them other descriptors.
 *
 * Rules: to remember an open is one bit of the entry, no system call and no memory; what the index forgets counts as
 * opened.  A copy-up of a file that nobody has opened costs nothing.  A copy that cannot be reported is still a copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

void view_report_copies(pto_view *view, bool on) {
    view->base->reports_copies = on;
}

void opened(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    dentry->flags |= D_OPENED;
    if (dentry->flags & D_LINKED)
        ovl->opened_linked = true;
}

void view_opened(pto_view *view, const struct location *loc) {
    HELD(&view->base->lock);
    if (loc->overlay && loc->dentry && S_ISREG(loc->type) && !loc->upper)
        opened(loc->overlay, loc->dentry);
}

/* Another name of the same file may be the one that was opened. */
static bool was_opened(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    return (dentry->flags & D_OPENED) || ((dentry->flags & D_LINKED) && ovl->opened_linked) ||
           ovl->view->index.forgot_opened;
}

void opened_copied(struct overlay *ovl, uint32_t d, int lower) {
    struct stat st;
    struct copying *copying = &ovl->view->copying;
    copying->d = 0;
    if (ovl->stacked)   /* who holds it may be in the view around, whose file it still is */
        return;
    const struct view_answers *answers = ovl->view->answers;
    if (!ovl->view->reports_copies || !(answers || was_opened(ovl, d)) || fstat(lower, &st) < 0)
        return;
    if (!was_opened(ovl, d) && !answers->opened(answers->arg, st.st_dev, st.st_ino))
        return;
    *copying = (struct copying){.ovl = ovl, .d = d, .dev = st.st_dev, .ino = st.st_ino};
}

static int open_upper_file(const struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    int length = path_in_upper(ovl, d, path);
    return length < 0 ? length : fd_beneath(ovl->layers[0].fd, path, O_RDONLY | O_NOFOLLOW);
}

static int report(pto_view *view, const struct overlay *ovl, const struct copying *copying) {
    int fd = open_upper_file(ovl, copying->d);
    if (fd < 0)
        return fd;
    struct copied_up *copy = calloc(1, sizeof *copy);
    if (!copy) {
        close(fd);
        return -ENOMEM;
    }
    *copy = (struct copied_up){.next = view->copies, .dev = copying->dev, .ino = copying->ino, .fd = fd};
    view->copies = copy;
    return 0;
}

void opened_put(struct overlay *ovl, uint32_t d) {
    pto_view *view = ovl->view;
    if (view->copying.ovl != ovl || view->copying.d != d)
        return;
    if (report(view, ovl, &view->copying) < 0)
        view->stats.left_lower++;
    view->copying.d = 0;
}

struct copied_up *view_take_copies(pto_view *view) {
    HELD(&view->base->lock);
    struct copied_up *copies = view->base->copies;
    view->base->copies = NULL;
    return copies;
}

struct copied_up *view_clone_copies(const struct copied_up *copies) {
    struct copied_up *clones = NULL;
    for (; copies; copies = copies->next) {
        struct copied_up *clone = malloc(sizeof *clone);
        int fd = clone ? fcntl(copies->fd, F_DUPFD_CLOEXEC, 0) : -1;
        if (fd < 0) {
            free(clone);
            continue;
        }
        *clone = *copies;
        clone->next = clones;
        clone->fd = fd;
        clone->given = true; /* its description is that of the first one */
        clones = clone;
    }
    return clones;
}

unsigned view_count_copies(const struct copied_up *copies) {
    unsigned n = 0;
    for (; copies; copies = copies->next)
        n++;
    return n;
}

void view_free_copies(struct copied_up *copies) {
    while (copies) {
        struct copied_up *copy = copies;
        copies = copy->next;
        close(copy->fd);
        free(copy);
    }
}
