/* layers.h - what the layers hold, and where.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_LAYERS_LAYERS_H
#define PTOVERLAY_VIEW_LAYERS_LAYERS_H

#include "../overlay.h"

/* places.c */
/* Of a canonical path as places hold it: "/" is "". */
size_t path_length(const char *path);
int place_insert(pto_view *view, int kind, const char *path, struct overlay *overlay);
/* What is mounted at path covers the places inherited from the view around there. */
void places_cover(pto_view *view, const char *path, size_t length);
/* What is mounted below a lower that shows at its own place. */
int places_find_mounts(struct overlay *ovl);
/* The innermost place that covers the canonical path, NULL: none (as on the host). PTO_PLACE_* ones are skipped: they
 * only say what may not be changed. */
struct place *place_of(const pto_view *view, const char *path, size_t length);
/* The place whose path is exactly this one, or NULL. */
struct place *place_at(const pto_view *view, const char *path, size_t length);
bool place_read_only(const pto_view *view, const char *path, size_t length);
bool place_fixed(const pto_view *view, const char *path, size_t length);
/* True when some place lies directly in this directory. */
bool place_in_dir(const pto_view *view, const char *path, size_t length);
/* True when path is top or lies below it; a top of "" is "/". */
bool path_below(const char *path, size_t path_length, const char *top, size_t top_length);

/* paths.c - the path of an entry.  All return the length, or -ENAMETOOLONG. */
int path_in_view(const struct overlay *ovl, uint32_t d, char *out); /* absolute, "/" for the root */
int path_in_upper(const struct overlay *ovl, uint32_t d, char *out); /* relative to the layer, "." for the root */
int path_in_lower(const struct overlay *ovl, uint32_t d, unsigned layer, char *out);
int backing_path(const struct overlay *ovl, uint32_t d, char *out); /* absolute host path of the topmost object */
/* Index in ovl->layers of what the upper has of it, or of the topmost object, and the path there. -ENAMETOOLONG. */
int backing_at_upper(const struct overlay *ovl, uint32_t d, char *out);
int backing_at_top(const struct overlay *ovl, uint32_t d, char *out);
int path_absolute(const struct layer *layer, const char *relative, char *out);

/* lookup.c */
/* The entry of name in directory d, with what each layer has looked up. 0 in *out never. */
int lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out);
/* Looks below again when nothing was there: the host may have made something since. */
int lookup_again(struct overlay *ovl, uint32_t d);
/* 1 when a lower has something under d's name that would show without an entry in the upper, else 0. */
int lower_positive(struct overlay *ovl, uint32_t d);
/* What lowers would show under d's name without the upper, or under its redirect: kind, topmost layer, and its path
 * relative to that layer (PATH_MAX bytes). */
int probe_below(struct overlay *ovl, uint32_t d, uint8_t *kind, unsigned *layer, char *path);
/* Reads the private attributes of an upper object once. */
int check_upper(struct overlay *ovl, uint32_t d);
int load_upper(struct overlay *ovl, uint32_t d);
static inline mode_t kind_type(uint8_t kind) {
    return (mode_t)kind << 12; /* IFTODT(3) backwards */
}
static inline bool is_merged(const struct dentry *dentry) {
    return is_dir_kind(dentry->upper) && is_dir_kind(dentry->lower);
}
#define LOWERS_MAX 512u
/* The directories merged by d: count and copies into dirs (at most LOWERS_MAX). */
uint32_t lower_dirs(const struct overlay *ovl, uint32_t d, struct lower_dir *dirs);
/* The path, relative to its layer, of one of them. Returns the length or -ENAMETOOLONG. */
int lower_path(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir, char *out);

/* redirect.c */
/* out = directory/name, both relative to a layer; out may be directory. Returns the length or -ENAMETOOLONG. */
int path_join(char *out, const char *directory, size_t directory_length, const char *name, size_t length);
/* What is searched in the lowers: a name, in the parent's directories, or, from a slash on, a path from their roots. */
struct sought {
    size_t length;
    bool derived;                       /* that is the entry's own name */
    bool grouped;                       /* a path of the view that the layers are a group of: within.c */
    char name[PATH_MAX];
};
/* A search through the lowers of a directory, from the topmost on. */
struct search {
    struct overlay *ovl;
    uint32_t parent;
    const struct lower_dir *next, *end; /* of the parent's */
    struct sought sought;               /* in the next layer */
    bool kept;                          /* something was said in a group … */
    struct sought before;               /* … and this is sought again below it */
    struct lower_dir dirs[LOWERS_MAX];
};
int search_begin(struct search *search, struct overlay *ovl, uint32_t parent, const char *name, size_t length,
                 bool own_name);
/* The length of the path that it has in this layer, 0: this layer lacks the way there; -EIO: a redirect to what is
 * outside of the layer.  *stop is set when something on the way hides what the layers below have. */
int search_path(struct search *search, unsigned layer, char *path, bool *stop);
/* Follows the redirect, if any, of what was found there: for the layers below. */
int search_redirect(struct search *search, unsigned layer, const char *path, bool *stop);
/* Done with this layer: what was said in a group of layers holds there only. */
void search_leave(struct search *search, unsigned layer);
/* The last layer in which what a layer hides is hidden. */
unsigned search_hidden(const struct overlay *ovl, unsigned layer);
/* The length of an object's redirect, 0: there is none; -EINVAL: it is none that an overlay could have written. */
ssize_t redirect_read(const struct layer *layer, const char *path, char redirect[PATH_MAX]);
/* What a redirect of d is to hold: its path from the lowers' root on, as the upper has it.  The length, or
 * -ENAMETOOLONG.  ovl_get_redirect() in fs/overlayfs/dir.c. */
int path_in_lowers(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]);

/* fd.c */
struct statx;
/* lstat of a path below a directory. */
int fd_statx(int dirfd, const char *path, int flags, struct statx *stx);

/* lower.c */
/* Opens the topmost lower object. */
int lower_open(const struct overlay *ovl, uint32_t d, int flags);

/* cred.c */
bool cred_in_group(const struct cred *cred, gid_t gid);
/* Our own, and what the machine asks of us. 0 or -ENOMEM. */
int cred_learn(pto_view *view);

/* inode.c */
/* Puts in what the upper's file shows but does not have. */
void inode_show(const struct overlay *ovl, uint32_t d, struct statx *stx);
/* lstat of the object as its topmost lower, or its upper, has it. */
int lower_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
int backing_upper_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
/* mask: R_OK W_OK X_OK; -EACCES. */
int permission(struct overlay *ovl, uint32_t d, const struct cred *cred, int mask);
int dentry_getattr(struct overlay *ovl, uint32_t d, struct statx *stx);
/* Owner, group and mode alone are right. */
int dentry_owner(struct overlay *ovl, uint32_t d, struct statx *stx);
ssize_t backing_readlink(struct overlay *ovl, uint32_t d, char *out, size_t size);
/* -EPERM or -EACCES when cred may not remove d from its directory (sticky(7)). */
int may_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred);
/* -EEXIST, -EROFS, -EACCES as for every call that makes a name. */
int may_create(struct overlay *ovl, const struct location *loc, const struct cred *cred);
bool cred_capable(const struct cred *cred, int cap);
bool may_keep_setgid(const struct statx *stx, const struct cred *cred);
bool cred_may_give_group(const struct cred *cred, gid_t gid);

/* ids.c: capabilities over an object, whose owner our user namespace may not map */
void ids_learn(void);
bool ids_all_mapped(void);
bool ids_capable_over(const struct statx *stx, const struct cred *cred, int cap);
bool ids_owner_or_capable(const struct statx *stx, const struct cred *cred);

/* acl.c: POSIX ACLs, acl(5) */
bool acl_present(const struct overlay *ovl, uint32_t d);
bool acl_on_fd(int fd);
/* 0 or -EACCES; -ENODATA when the object has no ACL. The owner is the caller's to check. */
int acl_permission(struct overlay *ovl, uint32_t d, const struct cred *cred, unsigned mask);
/* What posix_acl_from_xattr() of fs/posix_acl.c says of a value: 0, -EINVAL, -EOPNOTSUPP. */
int acl_check(const void *value, size_t size);
/* True when an upper directory gives its new entries a default ACL. */
bool acl_has_default(struct overlay *ovl, uint32_t d);

/* handle.c: the name that the kernel's overlayfs gives the copy of a lower file with several names, in <work>/index. */
#define KERNEL_INDEX_NAME 299 /* (21 + MAX_HANDLE_SZ) bytes in hexadecimal, and a NUL */
int handle_name(const struct overlay *ovl, uint32_t d, char out[KERNEL_INDEX_NAME]);

#endif
