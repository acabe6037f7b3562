/* odd.c - what only the upper has and shows otherwise than it lies there: tells of it.
 *
 * Rule: told before it is where a name leads to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "layers.h"

bool odd_is(const struct overlay *ovl, uint32_t d) {
    struct statx stx;
    const struct dentry *dentry = at(ovl, d);
    if (dentry->upper == KIND_WHITEOUT || (dentry->flags & (D_METACOPY | D_COPY | D_REDIRECT)) || is_merged(dentry))
        return true;
    return ovl->shown.count && (backing_upper_statx(ovl, d, &stx) < 0 || shown_find(&ovl->shown, stx.stx_ino));
}

void odd_tell(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    touch_name(ovl->view, dentry->parent | VIEW_ALONE, dentry->name, dentry->name_length, 0);
}

void odd_put(struct overlay *ovl, uint32_t d, uint32_t source) {
    touch(ovl, d);
    if (!ovl->view->answers)
        return;
    if (is_dir_kind(at(ovl, source)->upper))
        touch_all(ovl->view, TOUCH_WAY);
    if (odd_is(ovl, source)) {
        odd_tell(ovl, d);
        touch_all(ovl->view, TOUCH_WAY); /* lists are no more what they were said to be */
    }
}
