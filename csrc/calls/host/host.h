/* host.h - changes of what no overlay covers, made by the supervisor in the tracee's stead.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_HOST_H
#define PTOVERLAY_HOST_H

#include <limits.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"

struct call;

struct host {               /* what is to be changed on the host */
    int dir;                /* the directory of the name, -1: it was not found by one */
    int object;             /* O_PATH, -1: the name is meant */
    char name[NAME_MAX + sizeof "/."];
};

/* Each holds operand i's object, or directory and name, in the scratch until the call's end.  The view is entered.
 * 0; -errno; -VIEW_AGAIN: it is not what was walked to any more. */
int host_hold_name(struct call *call, unsigned i, const struct location *loc);
int host_hold_object(struct call *call, unsigned i, const struct location *loc);
/* What a link of /proc leads to: /proc/PID/fd/N. -EBADF; -EROFS: a lower's object without a name; -EPERM: it stays as
 * it is, and the verdict is there. */
int host_hold_link(struct call *call, unsigned i, const char *link);
bool host_held(const struct call *call, unsigned i);
/* What a canonical path has lost that a call may be refused for: a slash or a dot at its end. */
const char *host_ending(const struct location *loc);
/* A path that leads to the object that is held. */
void host_object_path(const struct call *call, unsigned i, char out[PROC_LINK]);
void host_drop(struct host *host);

/* To the end of the block no tracee moves or removes a name of the host's: for calls that take a path which the
 * kernel walks once more. */
#define HOST_NAMES_STAY __attribute__((cleanup(host_names_unlock), unused)) const bool host_names = host_names_lock()
bool host_names_lock(void);
void host_names_unlock(const bool *locked);

/* The changes, of what is held.  Each leaves the view and acts as the tracee. 0 or -errno. */
long host_mkdir(struct call *call, mode_t mode);
long host_mknod(struct call *call, mode_t mode, dev_t dev);
long host_symlink(struct call *call, const char *target);
/* Binds the descriptor, which is ours. */
long host_bind(struct call *call, int fd, const struct sockaddr *name, socklen_t size);
long host_unlink(struct call *call, bool directory);
long host_rename(struct call *call, unsigned flags);
/* by_descriptor: AT_EMPTY_PATH was given. */
long host_link(struct call *call, bool by_descriptor);
long host_setattr(struct call *call, const struct attr_change *change);
long host_setxattr(struct call *call, const char *name, const void *value, size_t size, int flags);
long host_removexattr(struct call *call, const char *name);
/* … and what is read of what a link of /proc leads to, by the tracee's own rights.  Bytes or -errno. */
long host_getxattr(struct call *call, const char *link, const char *name, void *value, size_t size);
long host_listxattr(struct call *call, const char *link, char *list, size_t size);
int host_stat(const struct call *call, struct stat *st);
/* A descriptor of ours, close-on-exec, or -errno.  -ELOOP: a symlink has been put there. */
int host_open(const struct call *call, int flags, mode_t mode);

#endif
