/* lookup.c - what each layer has under a name.
 *
 * Rules: the names of an upper directory are read once, whole, when it is first walked through; from then on
 * the index alone says what the upper has.  What lowers have is looked up when asked and kept as a cache.
 * A whiteout in a layer ends the search below it, so does an opaque directory; a redirect renames what is
 * searched in the layers below.  As ovl_lookup() in fs/overlayfs/namei.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layers.h"

/* What the layers of a directory have under one name. */
struct probe {
    uint8_t kind;
    uint16_t layer;
    bool linked;                        /* a file with more than one name */
    bool derived;                       /* every directory found lies under its parent's path and its own name */
    uint32_t count;                     /* directories found */
    struct lower_dir dirs[LOWERS_MAX];  /* their texts belong to the probe until they are given to the index */
};

static void probe_drop(struct overlay *ovl, struct probe *probe) {
    for (uint32_t i = 0; i < probe->count; i++)
        index_free_text(&ovl->view->index, probe->dirs[i].path);
    probe->count = 0;
}

static int probe_keep(struct overlay *ovl, struct probe *probe, unsigned layer, const char *path, size_t length,
                      bool derived) {
    struct lower_dir *dir = &probe->dirs[probe->count];
    *dir = (struct lower_dir){.layer = (uint16_t)layer};
    if (!derived) {
        dir->path = index_text(&ovl->view->index, path, length);
        if (!dir->path)
            return -ENOMEM;
        probe->derived = false;
    }
    probe->count++;
    return 0;
}

/* What is found in one layer says whether the search goes on below it; -errno. */
enum { PROBE_END, PROBE_ON, PROBE_GROUP_END };

static int hides_below(const struct overlay *ovl, unsigned layer) {
    return search_hidden(ovl, layer) < ovl->n_lowers ? PROBE_GROUP_END : PROBE_END;
}

static bool same_group(const struct overlay *ovl, const struct probe *probe, const struct layer *layer) {
    return layer->group_end && probe->count &&
           ovl->layers[probe->dirs[probe->count - 1].layer].group_end == layer->group_end;
}

/* What an earlier upper has may be a device that was kept as an empty file. */
static mode_t kept_type(const struct overlay *ovl, unsigned number, const char *path, const struct stat *st) {
    struct shown shown;
    bool asked = number != ovl->own && S_ISREG(st->st_mode) && st->st_size == 0;
    return asked && private_shown_below(ovl, number, path, st, &shown) && faked_is_device(&shown, st->st_mode)
               ? shown.mode
               : st->st_mode;
}

static int probe_layer(struct search *search, struct probe *probe, unsigned number, const char *path, bool *stop) {
    struct overlay *ovl = search->ovl;
    const struct layer *layer = &ovl->layers[number];
    struct stat st;
    bool last = number == ovl->n_lowers, absent = fd_lstat(layer->fd, path, &st) < 0;
    if (absent && faked_closed(ovl, -errno))
        return PROBE_ON;
    if (absent && errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        return -errno;
    if (absent && !marks_has_dot(layer, path))
        return PROBE_ON;
    int whiteout = absent || marks_is_whiteout(&st) ? 1 : marks_is_marked_at(layer, path, &st);
    if (whiteout < 0)
        return whiteout;
    if (whiteout) {
        int more = hides_below(ovl, number);
        if (probe->kind == KIND_NONE && more == PROBE_END)
            probe->kind = KIND_WHITEOUT;
        return more;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (probe->kind != KIND_NONE)   /* a directory above hides it */
            return same_group(ovl, probe, layer) ? hides_below(ovl, number) : PROBE_END;
        probe->kind = (uint8_t)IFTODT(kept_type(ovl, number, path, &st));
        probe->linked = st.st_nlink > 1;
        probe->layer = (uint16_t)number;
        return PROBE_END;
    }
    if (probe->kind == KIND_NONE) {
        probe->kind = DT_DIR;
        probe->layer = (uint16_t)number;
    }
    int error = probe_keep(ovl, probe, number, path, strlen(path), search->sought.derived);
    if (error || last)
        return error ? error : PROBE_END;
    int opaque = marks_is_opaque(layer, path);
    *stop |= opaque > 0;
    error = opaque ? opaque : search_redirect(search, number, path, stop);
    return error < 0 ? error : PROBE_ON;
}

/* One layer: PROBE_*, or -errno. */
static int search_layer(struct search *search, struct probe *probe, unsigned layer) {
    char path[VIEW_PATH_MAX];
    bool stop = false;
    int at = search_path(search, layer, path, &stop);
    int more = at > 0 ? probe_layer(search, probe, layer, path, &stop) : at < 0 ? at : PROBE_ON;
    return stop && more == PROBE_ON ? hides_below(search->ovl, layer) : more;
}

/* Searches the lowers of parent for name: the entry's own, or what a redirect says in its place. 0 or -errno. */
static int probe_lowers(struct overlay *ovl, uint32_t parent, const char *name, size_t length, bool own_name,
                        struct probe *probe) {
    struct search search;
    *probe = (struct probe){.derived = true};
    int error = search_begin(&search, ovl, parent, name, length, own_name), more = error ? error : PROBE_ON;
    for (unsigned layer = error ? 1 : search_first(&search); layer <= ovl->n_lowers && more > 0; layer++) {
        more = search_layer(&search, probe, layer);
        if (more == PROBE_GROUP_END)
            layer = search_hidden(ovl, layer);
        search_leave(&search, layer);
    }
    if (more < 0)
        probe_drop(ovl, probe);
    return more < 0 ? more : 0;
}

/* Puts what a probe found into the entry. */
static int take_probe(struct overlay *ovl, uint32_t d, struct probe *probe) {
    struct dentry *dentry = at(ovl, d);
    index_free_stack(&ovl->view->index, dentry);
    bool single = probe->count == 1 && probe->derived;
    if (probe->count && !single) {
        int error = index_set_stack(&ovl->view->index, d, probe->dirs, probe->count);
        if (error) {
            probe_drop(ovl, probe);
            return error;
        }
    }
    dentry = at(ovl, d);
    dentry->lower = probe->kind;
    dentry->layer = probe->layer;
    dentry->flags &= (uint16_t)~D_LINKED;
    dentry->flags |= (uint16_t)(probe->linked ? D_LINKED : 0);
    if (probe->count && !probe->derived)
        ovl->redirected = true;
    return 0;
}

/* Symlinks of lower layers are followed again and again (/lib, /bin): their targets are kept. */
static int keep_target(struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX], target[PATH_MAX];
    unsigned layer = at(ovl, d)->layer;
    int error = path_in_lower(ovl, d, layer, path);
    if (error < 0)
        return error;
    ssize_t length = fd_readlink(ovl->layers[layer].fd, path, target, sizeof target);
    if (length < 0)
        return -errno;
    if ((size_t)length >= sizeof target)
        return -ENAMETOOLONG;
    uint32_t text = index_text(&ovl->view->index, target, (size_t)length);
    if (!text)
        return -ENOMEM;
    at(ovl, d)->stack = text;
    at(ovl, d)->flags |= D_TARGET;
    return 0;
}

static int lookup_lower_as(struct overlay *ovl, uint32_t d, const char *name, size_t length, bool own_name) {
    struct probe probe;
    int error = probe_lowers(ovl, at(ovl, d)->parent, name, length, own_name, &probe);
    if (!error)
        error = take_probe(ovl, d, &probe);
    return error;
}

/* A file of a lower that is not the last one may have its data further below. */
static int check_lower_data(struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    struct stat st;
    unsigned layer = at(ovl, d)->layer;
    int length = path_in_lower(ovl, d, layer, path);
    if (length < 0)
        return length;
    if (fd_lstat(ovl->layers[layer].fd, path, &st) < 0)
        return -errno;
    return metadata_check(ovl, d, layer, path, &st);
}

static int lookup_lower(struct overlay *ovl, uint32_t d) {
    char name[NAME_MAX + 1];
    index_name(&ovl->view->index, d, name);
    ovl->view->asked = d;
    int error = lookup_lower_as(ovl, d, name, at(ovl, d)->name_length, true);
    if (!error && at(ovl, d)->lower == DT_LNK && at(ovl, d)->upper == KIND_NONE)
        error = keep_target(ovl, d);
    if (!error && at(ovl, d)->lower == DT_REG && at(ovl, d)->upper == KIND_NONE && at(ovl, d)->layer < ovl->n_layers)
        error = check_lower_data(ovl, d);
    return error;
}

int lookup_recheck(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (dentry->upper != KIND_NONE || lower_exists(dentry) || ovl->view->asked == d)
        return 0;
    at(ovl, d)->lower = KIND_UNKNOWN;
    return lookup_lower(ovl, d);
}

int lookup_positive(struct overlay *ovl, uint32_t d) {
    char name[NAME_MAX + 1];
    struct probe probe;
    index_name(&ovl->view->index, d, name);
    int error = probe_lowers(ovl, at(ovl, d)->parent, name, at(ovl, d)->name_length, true, &probe);
    if (error)
        return error;
    probe_drop(ovl, &probe);
    return probe.kind != KIND_NONE && probe.kind != KIND_WHITEOUT;
}

int lookup_below(struct overlay *ovl, uint32_t d, uint8_t *kind, unsigned *layer, char path[VIEW_PATH_MAX]) {
    char name[NAME_MAX + 1];
    struct probe probe;
    int error = 0;
    if (is_dir_kind(at(ovl, d)->lower) && upper_exists(at(ovl, d))) {
        *kind = DT_DIR;
        *layer = at(ovl, d)->layer;
        error = path_in_lower(ovl, d, *layer, path);
        return error < 0 ? error : 0;
    }
    index_name(&ovl->view->index, d, name);
    error = probe_lowers(ovl, at(ovl, d)->parent, name, at(ovl, d)->name_length, true, &probe);
    if (error)
        return error;
    probe_drop(ovl, &probe);
    *kind = probe.kind == KIND_WHITEOUT ? KIND_NONE : probe.kind;
    *layer = *kind ? probe.layer : 0;
    path[0] = '\0';
    if (*kind) {   /* below the parent: only directories are redirected */
        error = path_in_lower(ovl, at(ovl, d)->parent, probe.layer, path);
        if (error >= 0)
            error = path_join(path, path, (size_t)error, name, at(ovl, d)->name_length);
    }
    return error < 0 ? error : 0;
}

/* ---- the upper ---- */

/* An upper directory merges what lies below its name, or below its redirect, unless it is opaque. */
static int check_upper_dir(struct overlay *ovl, uint32_t d, const char *path, const struct stat *st) {
    char redirect[PATH_MAX];
    int opaque = marks_is_opaque(&ovl->layers[0], path);
    if (opaque < 0)
        return opaque;
    if (opaque) {
        at(ovl, d)->flags |= D_OPAQUE;
        at(ovl, d)->lower = KIND_NONE;
        return 0;
    }
    ssize_t length = redirect_read(&ovl->layers[0], path, redirect);
    if (length < 0)
        return (int)length;
    int error;
    if (length > 0) {
        if (!may_redirect(ovl, &ovl->layers[0], st))
            return -EPERM;
        at(ovl, d)->flags |= D_REDIRECT;
        error = lookup_lower_as(ovl, d, redirect, (size_t)length, false);
        ovl->redirected = true;
    } else {
        error = lookup_lower(ovl, d);
    }
    if (error)
        return error;
    if (!is_dir_kind(at(ovl, d)->lower)) {   /* a file below is hidden by the directory */
        index_free_stack(&ovl->view->index, at(ovl, d));
        at(ovl, d)->lower = KIND_NONE;
    }
    return 0;
}

int lookup_check_upper(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    if (!upper_exists(dentry))
        return 0;
    if (dentry->flags & D_CHECKED)
        return dentry->flags & D_METACOPY ? metadata_recheck(ovl, d) : 0;
    char path[VIEW_PATH_MAX];
    int layer = backing_at_upper(ovl, d, path);
    if (layer < 0)
        return layer;
    bool plain = is_dir_kind(dentry->upper) || dentry->upper == DT_REG;
    CLOSE_FD fd = fd_beneath(ovl->layers[layer].fd, path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    int whiteout = marks_is_marked_at(&ovl->layers[layer], path, &st);
    if (whiteout) {
        at(ovl, d)->upper = whiteout > 0 ? KIND_WHITEOUT : at(ovl, d)->upper;
        return whiteout < 0 ? whiteout : 0;
    }
    int error = 0;
    if (plain || !(ovl->flags & PTO_USERXATTR))
        error = private_load_shown(ovl, fd, &st);
    const struct shown *shown = error ? NULL : shown_find(&ovl->shown, st.st_ino);
    if (shown && faked_is_device(shown, st.st_mode))
        at(ovl, d)->upper = (uint8_t)IFTODT(shown->mode);
    if (!error && dentry->upper == DT_REG)
        error = metadata_check(ovl, d, (unsigned)layer, path, &st);
    if (!error && is_dir_kind(dentry->upper))
        error = check_upper_dir(ovl, d, path, &st);
    if (!error)
        at(ovl, d)->flags |= D_CHECKED;
    return error;
}

/* A kind, or -errno. */
static int upper_kind(const struct overlay *ovl, int fd, const struct dirent *entry, bool marked) {
    struct stat st;
    int whiteout = marked ? marks_is_marked(&ovl->layers[0], fd, entry->d_name) : 0;
    if (whiteout)
        return whiteout < 0 ? whiteout : (int)KIND_WHITEOUT;
    if (entry->d_type != DT_CHR && entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? (int)KIND_NONE : -errno;   /* gone: somebody changes the upper behind our back */
    return marks_is_whiteout(&st) ? (int)KIND_WHITEOUT : (int)IFTODT(st.st_mode);
}

static int load_entry(struct overlay *ovl, uint32_t d, int fd, const struct dirent *entry, bool marked) {
    const char *name = entry->d_name;
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
        return 0;
    bool dot = ovl->layers[0].dot_form && marks_is_dot(name);
    if (dot && marks_is_dot(name + DOT_LENGTH))
        return 0;   /* .wh..wh..opq, and what aufs keeps for itself */
    name += dot ? DOT_LENGTH : 0;
    size_t length = strlen(name);
    uint32_t child = index_find(&ovl->view->index, d, name, length);
    if (!child)
        child = index_add(&ovl->view->index, d, name, length);
    if (!child)
        return -ENOMEM;
    if (dot && at(ovl, child)->upper != KIND_NONE)
        return 0;   /* the object itself counts */
    int kind = dot ? (int)KIND_WHITEOUT : upper_kind(ovl, fd, entry, marked);
    if (kind >= 0)
        at(ovl, child)->upper = (uint8_t)kind;
    if (kind > 0)
        touch_found(ovl, child);
    return kind < 0 ? kind : 0;
}

int lookup_load_upper(struct overlay *ovl, uint32_t d) {
    struct dentry *dentry = at(ovl, d);
    if ((dentry->flags & D_LOADED) || !is_dir_kind(dentry->upper))
        return 0;
    char path[VIEW_PATH_MAX];
    int error = path_in_upper(ovl, d, path);
    if (error < 0)
        return error;
    QUIET quiet;
    CLOSE_FD fd = quiet_open(ovl, ovl->layers[0].fd, path, &quiet);
    if (fd < 0)
        return fd;
    int marked = marks_has_marked(&ovl->layers[0], fd);
    if (marked < 0)
        return marked;
    STREAM *stream;
    const struct dirent *entry;
    error = stream_open(fd, &stream);
    while (!error && !(error = stream_read(stream, &entry)) && entry)
        error = load_entry(ovl, d, fd, entry, marked);
    if (!error)
        at(ovl, d)->flags |= D_LOADED;
    return error;
}

int lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out) {
    HELD(&ovl->view->lock);
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    if (ovl->layers[0].dot_form && length >= DOT_LENGTH && marks_is_dot(name))
        return -EINVAL;   /* such a name is a mark */
    int error = lookup_load_upper(ovl, d);
    if (error)
        return error;
    struct index *index = &ovl->view->index;
    uint32_t child = index_find(index, d, name, length);
    bool made = !child;
    if (made)
        child = index_add(index, d, name, length);
    if (!child)
        return -ENOMEM;
    if (at(ovl, child)->upper == KIND_NONE && at(ovl, child)->lower == KIND_UNKNOWN) {
        error = lookup_lower(ovl, child);
        index->cached += (uint32_t)made;
    } else {
        error = lookup_check_upper(ovl, child);
    }
    if (error) {
        if (made && at(ovl, child)->upper == KIND_NONE)
            index_drop(index, child);
        return error;
    }
    *out = child;
    return 0;
}
