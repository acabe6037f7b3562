/* object.h - what a link of /proc leads to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_OBJECT_H
#define PTOVERLAY_OBJECT_H

enum object_kind {
    OBJECT_NAMED,       /* real is its path */
    OBJECT_DELETED,     /* real was its path */
    OBJECT_ANONYMOUS,   /* a pipe, a socket, … */
};
/* kind of the object that link (/proc/PID/fd/N, …/cwd, …/exe) leads to; its real path into real[PATH_MAX]. -errno. */
int object_read(const char *link, char *real);

#endif
