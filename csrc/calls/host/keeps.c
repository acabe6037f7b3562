/* keeps.c - what the host keeps as it is: read-only places, and the names and attributes below /proc, /sys and /dev.
 *
 * Rules: what its file system could not be made to change is the host's to answer, in its own words: proc and sysfs
 * make, move and remove no name for anybody, and know few attributes.  File systems that are mounted below (tracefs,
 * debugfs…) do, and so nothing is tried there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
#include "../verdict.h"
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
    if (error)
        verdict_answer(call, error);
    else if (loc->read_only)
        verdict_answer(call, -EROFS);
    else
        verdict_refuse(call, EPERM, "names and attributes of the host's own places stay");
    return true;
}
