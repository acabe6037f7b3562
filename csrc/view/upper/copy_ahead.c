/* copy_ahead.c - large files are copied up without the lock, so that nobody else waits for them.
 *
 * Rules: who meets a large lower file lets go of the lock, copies its data into a file without a name, and then has the
 * whole call asked again (-VIEW_AGAIN), since entries may have moved meanwhile; the call then finds the copy ready.  A
 * copy is taken only for the very object it was made of, unchanged.  A second caller for the same file waits for the
 * first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "upper.h"

#define LARGE (4 << 20)      /* bytes; a smaller file is copied in less time than asking again takes */
#define READY_MAX 4          /* copies that nobody has taken */

struct copy_ahead {
    struct copy_ahead *next;
    const struct overlay *ovl;
    struct stat of;          /* the lower object */
    int fd;                  /* the copy; -1: being made */
};

static bool is_of(const struct copy_ahead *ahead, const struct overlay *ovl, const struct stat *st) {
    return ahead->ovl == ovl && ahead->of.st_dev == st->st_dev && ahead->of.st_ino == st->st_ino &&
           ahead->of.st_size == st->st_size && ahead->of.st_mtim.tv_sec == st->st_mtim.tv_sec &&
           ahead->of.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
}

static void drop(struct copy_ahead **at) {
    struct copy_ahead *ahead = *at;
    *at = ahead->next;
    fd_close(&ahead->fd);
    free(ahead);
}

void copy_ahead_free(pto_view *view) {
    while (view->ahead)
        drop(&view->ahead);
}

void copy_ahead_forget(const struct overlay *ovl) {
    for (struct copy_ahead **at = &ovl->view->ahead; *at;)
        if ((*at)->ovl == ovl)
            drop(at);
        else
            at = &(*at)->next;
}

bool copy_ahead_fills(const struct overlay *ovl) {
    const struct copy_ahead *ahead = ovl->view->ahead;
    while (ahead && (ahead->ovl != ovl || ahead->fd >= 0))
        ahead = ahead->next;
    return ahead;
}

/* The list has the newest first. */
static void drop_old(pto_view *view) {
    unsigned ready = 0;
    for (struct copy_ahead **at = &view->ahead; *at;)
        if ((*at)->fd >= 0 && ++ready > READY_MAX)
            drop(at);
        else
            at = &(*at)->next;
}

static int take(struct copy_ahead **at) {
    int fd = (*at)->fd;
    (*at)->fd = -1;
    drop(at);
    return fd;
}

/* Copies without the lock; the entry of the list is ours meanwhile. */
static int fill(struct overlay *ovl, struct copy_ahead *ahead, int in, int out) {
    pto_view *view = ovl->view;
    lock_leave(&view->lock);
    int error = data_copy(ovl, in, out, ahead->of.st_size, true);
    if (!error)
        error = upper_sync(ovl, out);
    lock_take(&view->lock);
    ahead->fd = out;
    for (struct copy_ahead **at = &view->ahead; error && *at; at = &(*at)->next)
        if (*at == ahead) {
            drop(at);
            break;
        }
    drop_old(view);
    pthread_cond_broadcast(&view->copied);
    return error ? error : -VIEW_AGAIN;
}

int copy_ahead_take(struct overlay *ovl, int in) {
    struct stat st;
    pto_view *view = ovl->view;
    if (!view->may_ask_again || fstat(in, &st) < 0 || st.st_size < LARGE)
        return -ENODATA;
    for (struct copy_ahead **at = &view->ahead; *at; at = &(*at)->next) {
        if (!is_of(*at, ovl, &st))
            continue;
        if ((*at)->fd >= 0)
            return take(at);
        lock_wait(&view->lock, &view->copied);
        return -VIEW_AGAIN;
    }
    int out = openat(ovl->work, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (out < 0)
        return errno == EOPNOTSUPP || errno == EISDIR ? -ENODATA : -errno;
    if (ioctl(out, FICLONE, in) == 0)
        return out;
    struct copy_ahead *ahead = calloc(1, sizeof *ahead);
    if (!ahead) {
        close(out);
        return -ENOMEM;
    }
    *ahead = (struct copy_ahead){.next = view->ahead, .ovl = ovl, .of = st, .fd = -1};
    view->ahead = ahead;
    return fill(ovl, ahead, in, out);
}
