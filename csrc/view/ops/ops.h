/* ops.h - what the calls on an object have in common.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_OPS_OPS_H
#define PTOVERLAY_VIEW_OPS_OPS_H

#include "../layers/overlay.h"

/* attr.c */
/* Before the data of an upper file is changed by cred: file_remove_privs() in fs/inode.c, for bits that it shows but
 * does not have, and, where the change is ours to make (a truncation), for all. */
int attr_drop_set_id(struct overlay *ovl, uint32_t d, const struct cred *cred, bool ours);
/* After cred has set an access ACL: the mode follows, posix_acl_update_mode() in fs/posix_acl.c, where we may more than
 * cred or the file does not have the mode that it shows. */
int attr_follow_acl(struct overlay *ovl, uint32_t d, int fd, const struct cred *cred);

/* busy.c */
/* Before a regular file is opened for writing or truncated: 0, or -ETXTBSY. */
int busy_write_access(struct overlay *ovl, uint32_t d);

/* create.c: objects that come to be */
struct creation {
    mode_t mode; /* with the type */
    dev_t dev;
    const char *target; /* of a symlink */
    int open_flags; /* of a file that is opened as it is made; *fd: its descriptor, or left as it is */
    int *fd; /* NULL: it is only made */
};
/* Gives a new object of the upper its owner (uid, gid), or keeps uid, gid, mode and rdev beside it. */
int create_give_owner(struct overlay *ovl, int dirfd, const char *name, const struct shown *owner);
int create(const struct location *loc, const struct creation *creation, const struct cred *cred, uint32_t *made);

/* remove.c */
/* 1 when a whiteout must take the entry's place, else 0. */
int remove_needs_whiteout(struct overlay *ovl, uint32_t d);
/* A name is about to go, and has gone: what is stored of an object goes with its last name. */
struct last_look {
    bool seen; /* there is something to forget */
    bool upper;
    struct statx stx; /* as the layer has it */
};
int remove_look(struct overlay *ovl, uint32_t d, struct last_look *look);
void remove_forget(struct overlay *ovl, const struct last_look *look);

#endif
