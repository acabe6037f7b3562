/* outside.c - descriptors that came from outside (inherited, or received by a socket) and are opened again by their
 * links in /proc: /dev/stdout.
 *
 * The supervisor hands out no descriptor that may write a lower's file.  So who has one got it from outside, writes
 * that file, and gets it again.
 *
 * Rules: a descriptor's number may lead elsewhere at any time, so everything is asked of what we hold ourselves, and
 * that is opened; proc(5) tells the flags of a descriptor together with the file (fdinfo, Linux 5.14).  Attributes are
 * not changed there: those calls mean the view's file.  What a process outside of the run has open is its own: by its
 * links too everybody here comes to the view's file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "../tasks/place.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "acting.h"
#include "outside.h"

#define INFO 512 /* bytes of fdinfo; what is wanted comes first */

struct open_file {
    unsigned flags;
    uint64_t mount, ino;
};

/* link: …/fd/N. */
static bool read_fdinfo(const char *link, struct open_file *file) {
    char path[PROC_LINK], text[INFO];
    const char *fd = strstr(link, "/fd/");
    int length = fd ? snprintf(path, sizeof path, "%.*s/fdinfo/%s", (int)(fd - link), link, fd + strlen("/fd/")) : -1;
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    CLOSE_DESCRIPTOR info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = info < 0 ? -1 : read(info, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    if (!strstr(text, "\nino:"))
        return false;
    file->flags = (unsigned)proc_field(text, "\nflags:\t", 8);
    file->mount = proc_field(text, "\nmnt_id:\t", 10);
    file->ino = proc_field(text, "\nino:\t", 10);
    return true;
}

/* The file is a lower's. */
static bool is_lower(struct call *call, const char *ours) {
    struct call_scratch *scratch = call->scratch;
    struct location *loc = &scratch->spare;
    int kind = place_read(ours, scratch->text);
    if (kind != OBJECT_NAMED || view_locate(call->view, scratch->text, loc) < 0 || !loc->overlay)
        return false;
    if (!loc->upper)
        return true;
    return !loc->detached &&
           (view_real(call->view, loc, scratch->real, VIEW_PATH_MAX) < 0 || strcmp(scratch->real, scratch->text) != 0);
}

/* A descriptor of ours (O_PATH) of such a file; -1: link leads to something else. */
static int hold(struct call *call, const char *link) {
    char ours[PROC_LINK];
    struct stat st;
    struct open_file theirs, held;
    pid_t process;
    if (!proc_process(link, &process) || !task_in_run(call->session, process))
        return -1;
    int fd = open(link, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    descriptor_own_link(fd, ours);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_fdinfo(link, &theirs) && read_fdinfo(ours, &held) &&
        theirs.ino == held.ino && theirs.mount == held.mount && !(theirs.flags & O_PATH) &&
        (theirs.flags & O_ACCMODE) != O_RDONLY && is_lower(call, ours))
        return fd;
    close(fd);
    return -1;
}

bool outside_leads(struct call *call, const char *link) {
    CLOSE_DESCRIPTOR fd = hold(call, link);
    return fd >= 0;
}

int outside_open(struct call *call, const char *link, int flags) {
    char ours[PROC_LINK];
    CLOSE_DESCRIPTOR held = hold(call, link);
    if (held < 0)
        return -ENOENT;
    descriptor_own_link(held, ours);
    ACTING acting;
    int error = acting_begin(&acting, call, false);
    if (error < 0)
        return error;
    int fd = open(ours, (flags & ~O_CREAT) | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool outside_truncate(struct call *call, const char *link, off_t length) {
    char ours[PROC_LINK];
    CLOSE_DESCRIPTOR held = hold(call, link);
    if (held < 0)
        return false;
    descriptor_own_link(held, ours);
    ACTING acting;
    int error = acting_begin(&acting, call, false);
    verdict_answer(call, error < 0 ? error
                                   : view_cut(ours, length, __atomic_load_n(&call->session->leased, __ATOMIC_RELAXED)));
    return true;
}
