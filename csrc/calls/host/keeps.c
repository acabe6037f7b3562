/* keeps.c - what the host keeps as it is: read-only places, and the names and attributes below /proc, /sys and /dev.
 *
 * Rules: what its file system could not be made to change is the host's to answer, in its own words: proc and sysfs
 * make, move and remove no name for anybody, and know few attributes.  File systems that are mounted below (tracefs,
 * debugfs…) do, and so nothing is tried there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "acting.h"
#include "keeps.h"

/* mnt_want_write() comes before the last name is looked up where it is to go away, and after that where it is to be
 * made or changed (fs/namei.c); truncate(2) looks at the type before (fs/open.c). */
static int before_read_only(const struct call *call, const struct location *loc, bool makes) {
    if (loc->read_only && call->row->name_is == NAME_REMOVED)
        return 0;
    if (makes != (loc->type == 0))
        return makes ? -EEXIST : -ENOENT;
    if (call->row->contents == CONTENTS_CUT && loc->type != S_IFREG)
        return loc->type == S_IFDIR ? -EISDIR : -EINVAL;
    return 0;
}

/* Of a path of the host, or of the directory that it is in: its file system's f_type; 0: it cannot be had.  Nobody
 * puts a symlink into proc or sysfs meanwhile. */
static long file_system(const struct location *loc, bool above) {
    char path[VIEW_PATH_MAX];
    struct statfs fs;
    memcpy(path, loc->path, loc->length + 1);
    char *slash = strrchr(path, '/');
    if (above)
        slash[slash == path] = '\0';
    CLOSE_DESCRIPTOR fd = view_open_exact(path, O_PATH | O_NOFOLLOW, 0);
    return fd >= 0 && fstatfs(fd, &fs) == 0 ? (long)fs.f_type : 0;
}

static bool has_fixed_names(const struct location *loc, bool above) {
    long type = file_system(loc, above);
    return type == PROC_SUPER_MAGIC || type == SYSFS_MAGIC;
}

static bool begins(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* user.* is kept by neither (kernfs_vfs_user_xattr_set() asks its root), trusted.* not by proc, and one that cannot be
 * read for want of anybody who knows it cannot be set: security modules know theirs. */
static bool lacks_attribute(const struct location *loc, const char *name) {
    char link[PROC_LINK];
    struct statfs fs;
    CLOSE_DESCRIPTOR fd = view_open_exact(loc->path, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstatfs(fd, &fs) < 0 || (fs.f_type != PROC_SUPER_MAGIC && fs.f_type != SYSFS_MAGIC))
        return false;
    if (begins(name, "user.") || (fs.f_type == PROC_SUPER_MAGIC && begins(name, "trusted.")))
        return true;
    descriptor_own_link(fd, link);
    return getxattr(link, name, NULL, 0) < 0 && errno == EOPNOTSUPP;
}

static bool is_impossible(const struct call *call, const struct location *loc, bool makes) {
    const char *attribute = call->scratch->attribute;
    if (call->row->contents == CONTENTS_OPENED && !makes)   /* O_TMPFILE */
        return has_fixed_names(loc, false);
    if (makes || call->row->name_is != NAME_STAYS)
        return has_fixed_names(loc, true);
    return attribute && lacks_attribute(loc, attribute);
}

/* cap_convert_nscap(), security/commoncap.c: file capabilities that mean nothing are so for everybody, and an empty
 * value is not looked at. */
bool keeps_no_capability(const struct call_scratch *scratch) {
    struct vfs_ns_cap_data data = {0};
    if (!scratch->attribute || !scratch->value_size || strcmp(scratch->attribute, "security.capability") != 0)
        return false;
    if (scratch->value_size != XATTR_CAPS_SZ_2 && scratch->value_size != XATTR_CAPS_SZ_3)
        return true;
    memcpy(&data, scratch->value, scratch->value_size);
    uint32_t revision = le32toh(data.magic_etc) & ~(uint32_t)VFS_CAP_FLAGS_EFFECTIVE;
    return revision != (scratch->value_size == XATTR_CAPS_SZ_2 ? VFS_CAP_REVISION_2 : VFS_CAP_REVISION_3);
}

/* vfs_utimes(), fs/attr.c: who neither owns the file nor may write it is not let, which comes before all that the file
 * system says. */
static bool may_not_touch(struct call *call, const struct location *loc) {
    struct stat st;
    const struct cred *cred = &call->task->cred;
    if (!call->scratch->touches || !task_cred(call))
        return false;
    CLOSE_DESCRIPTOR fd = view_open_exact(loc->path, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid == cred->fsuid || cred_capable(cred, CAP_FOWNER))
        return false;
    ACTING acting;
    return acting_begin(&acting, call, false) == 0 && view_permission(call->view, loc, cred, W_OK) == -EACCES;
}

/* What the kernel says before it asks the file system. 0; -errno. */
static int before_change(struct call *call, const struct location *loc) {
    if (keeps_no_capability(call->scratch))
        return -EINVAL;
    return may_not_touch(call, loc) ? -EACCES : 0;
}

bool keeps_no_name(const struct location *loc) {
    return !loc->overlay && loc->type == 0 && file_system(loc, true) == PROC_SUPER_MAGIC;
}

bool host_keeps(struct call *call, const struct location *loc, bool makes) {
    if (loc->overlay || (!loc->read_only && !loc->fixed))
        return false;
    if (!loc->read_only && is_impossible(call, loc, makes))
        return false;
    int error = before_read_only(call, loc, makes);
    /* Contents are not among what stays: a cut is as good as what an open for writing does there. */
    if (!error && !loc->read_only && call->row->contents == CONTENTS_CUT)
        return false;
    if (!error && !loc->read_only)
        error = before_change(call, loc);
    if (error)
        verdict_answer(call, error);
    else if (loc->read_only)
        verdict_answer(call, -EROFS);
    else
        verdict_refuse(call, EPERM, "names and attributes of the host's own places stay");
    return true;
}
