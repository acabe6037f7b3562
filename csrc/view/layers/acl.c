/* acl.c - POSIX access control lists as the kernel stores them (acl(5), linux/posix_acl_xattr.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "layers.h"

#define ACCESS_ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"
#define ACL_BYTES 4096   /* some 500 entries; more are not granted anything */

bool acl_present(const struct overlay *ovl, uint32_t d) {
    return backing_getxattr(ovl, d, ACCESS_ACL, NULL, 0) > 0;
}

bool acl_on_fd(int fd) {
    char path[FD_PATH];
    fd_path(fd, path);
    return getxattr(path, ACCESS_ACL, NULL, 0) > 0;
}

bool acl_has_default(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    if (dentry->flags & D_NO_DEFAULT_ACL)
        return false;
    if (backing_getxattr(ovl, d, DEFAULT_ACL, NULL, 0) > 0)
        return true;
    dentry->flags |= D_NO_DEFAULT_ACL;
    return false;
}

/* The algorithm of acl(5), "ACCESS CHECK ALGORITHM", from the named users on. */
int acl_permission(struct overlay *ovl, uint32_t d, const struct cred *cred, unsigned wanted) {
    unsigned char buffer[ACL_BYTES];
    ssize_t size = backing_getxattr(ovl, d, ACCESS_ACL, buffer, sizeof buffer);
    if (size == -ERANGE)
        return -EACCES;
    if (size < (ssize_t)sizeof(struct posix_acl_xattr_header))
        return -ENODATA;
    struct statx stx;
    int error = inode_owner(ovl, d, &stx);   /* the group that is shown, which the copy may not have */
    if (error)
        return error;
    unsigned limit = 7, others = 0, groups = 0;
    bool group_seen = false, user_seen = false;
    unsigned user = 0;
    size_t count = ((size_t)size - sizeof(struct posix_acl_xattr_header)) / sizeof(struct posix_acl_xattr_entry);
    for (size_t i = 0; i < count; i++) {
        struct posix_acl_xattr_entry entry;
        memcpy(&entry, buffer + sizeof(struct posix_acl_xattr_header) + i * sizeof entry, sizeof entry);
        unsigned tag = le16toh(entry.e_tag), perm = le16toh(entry.e_perm), id = le32toh(entry.e_id);
        if (tag == ACL_MASK)
            limit = perm;
        else if (tag == ACL_OTHER)
            others = perm;
        else if (tag == ACL_USER && id == cred->fsuid)
            user = perm, user_seen = true;
        else if ((tag == ACL_GROUP && cred_in_group(cred, id)) ||
                 (tag == ACL_GROUP_OBJ && cred_in_group(cred, stx.stx_gid))) {
            group_seen = true;
            if ((perm & wanted) == wanted)
                groups = perm;
        }
    }
    if (user_seen)
        return (user & limit & wanted) == wanted ? 0 : -EACCES;
    if (group_seen)
        return (groups & limit & wanted) == wanted ? 0 : -EACCES;
    return (others & wanted) == wanted ? 0 : -EACCES;
}

int acl_check(const void *value, size_t size) {
    struct posix_acl_xattr_header header;
    if (size == 0)
        return 0;
    if (size < sizeof header)
        return -EINVAL;
    memcpy(&header, value, sizeof header);
    if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
        return -EOPNOTSUPP;
    if ((size - sizeof header) % sizeof(struct posix_acl_xattr_entry))
        return -EINVAL;
    for (size_t at = sizeof header; at < size; at += sizeof(struct posix_acl_xattr_entry)) {
        struct posix_acl_xattr_entry entry;
        memcpy(&entry, (const char *)value + at, sizeof entry);
        unsigned tag = le16toh(entry.e_tag);
        if (tag == 0 || tag > ACL_OTHER || (tag & (tag - 1)))
            return -EINVAL;
    }
    return 0;
}
