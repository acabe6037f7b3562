/* faked.c - views of a fake root: an ordinary user sees himself as root, and what he may not have is kept beside
 * objects.
 *
 * Rules: an owner that is kept counts; what nothing is kept of is root's where it is our user's, as in a user namespace
 * with one id, and its owner's else.  What may be kept is said by what our user could not do himself: nothing here
 * gives him more than he has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "layers.h"

void faked_ids(const pto_view *view, struct statx *stx) {
    if (!view->faked)
        return;
    if (stx->stx_uid == view->own.fsuid)
        stx->stx_uid = 0;
    if (stx->stx_gid == view->own.fsgid)
        stx->stx_gid = 0;
}

void view_fake_ids(const pto_view *view, struct statx *stx) {
    faked_ids(view->base, stx);
}

bool faked_own(const pto_view *view, const struct stat *st, mode_t mode) {
    mode_t needed = S_ISDIR(mode) ? 0700 : 0600;
    return view->faked && st->st_uid == view->own.fsuid && st->st_gid == view->own.fsgid &&
           (S_ISLNK(mode) || ((mode & needed) == needed && !(mode & (S_ISUID | S_ISGID))));
}

bool faked_closed(const struct overlay *ovl, int error) {
    if (error != -EACCES || !ovl->view->faked)
        return false;
    ovl->view->stats.closed++;
    return true;
}

bool faked_name(const struct overlay *ovl, const char *name, char out[XATTR_NAME_MAX + 1]) {
    bool kept = strncmp(name, "trusted.", 8) == 0 || strncmp(name, "security.", 9) == 0;
    if (!ovl->view->faked || !kept || ovl->prefix[0] == 't')
        return false;
    return snprintf(out, XATTR_NAME_MAX + 1, "%s" FAKED_NAME "%s", ovl->prefix, name) <= XATTR_NAME_MAX;
}

bool faked_is_device(const struct shown *shown, mode_t real) {
    return shown->owner && S_ISREG(real) && (S_ISCHR(shown->mode) || S_ISBLK(shown->mode));
}
