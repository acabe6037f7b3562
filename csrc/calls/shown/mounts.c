/* mounts.c - /proc/PID/mountinfo and /proc/PID/mounts, in a mount namespace of a program's own.
 *
 * The kernel tells of the supervisor's mounts, which nobody there sees.  What is told is what the view has places for;
 * proc_pid_mountinfo(5).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../process/proc.h"
#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../verdict.h"
#include "maps.h"
#include "mounts.h"

#define FIRST_ID 100u

static void print_path(FILE *out, const char *path) {
    for (; *path; path++) {
        if (strchr(" \t\n\\", *path))
            fprintf(out, "\\%03o", (unsigned char)*path);
        else
            fputc(*path, out);
    }
}

static bool is_in(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return strcmp(directory, "/") == 0 || (strncmp(path, directory, length) == 0 && path[length] == '/');
}

/* The id of the mount that it lies in. */
static unsigned parent_of(const pto_view *view, const char *path, size_t i) {
    struct view_mount mount;
    unsigned parent = FIRST_ID - 1;
    for (size_t n = 0; n < i && view_mount_told(view, n, &mount); n++)
        if (is_in(path, mount.path) || strcmp(path, mount.path) == 0)
            parent = FIRST_ID + (unsigned)n;
    return parent;
}

unsigned mounts_id(const pto_view *view, const char *path) {
    return parent_of(view, path, SIZE_MAX);
}

/* ---- what the kernel tells the supervisor ---- */

/* A line of mountinfo, in its fields. */
struct host_mount {
    char *line;   /* the others lie in it */
    char *device, *root, *at, *options, *type, *source, *super;
};

struct host_mounts {
    struct host_mount *all;
    size_t n;
};

static void host_mounts_free(struct host_mounts *mounts) {
    for (size_t i = 0; i < mounts->n; i++)
        free(mounts->all[i].line);
    free(mounts->all);
}
#define HOST_MOUNTS __attribute__((cleanup(host_mounts_free))) struct host_mounts

static void unescape(char *text) {
    char *out = text;
    for (; *text; text++) {
        bool octal = text[0] == '\\' && text[1] && text[2] && text[3];
        *out++ = octal ? (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0')) : *text;
        text += octal ? 3 : 0;
    }
    *out = '\0';
}

/* False: it is of another form. */
static bool read_line(struct host_mount *mount) {
    char *rest = mount->line, *tail = strstr(mount->line, " - ");
    if (!tail)
        return false;
    *tail = '\0';
    tail += 3;
    tail[strcspn(tail, "\n")] = '\0';
    for (int skipped = 0; skipped < 2; skipped++)
        (void)strsep(&rest, " ");
    mount->device = strsep(&rest, " ");
    mount->root = strsep(&rest, " ");
    mount->at = strsep(&rest, " ");
    mount->options = strsep(&rest, " ");
    mount->type = strsep(&tail, " ");
    mount->source = strsep(&tail, " ");
    mount->super = strsep(&tail, " ");
    if (!mount->options || !mount->super)
        return false;
    unescape(mount->at);
    return true;
}

static struct host_mounts read_host(void) {
    struct host_mounts mounts = {0};
    struct host_mount mount = {0};
    size_t room = 0;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && getline(&mount.line, &room, file) > 0) {
        struct host_mount *more = read_line(&mount) ? reallocarray(mounts.all, mounts.n + 1, sizeof mount) : NULL;
        if (!more)
            continue;
        mounts.all = more;
        mounts.all[mounts.n++] = mount;
        mount.line = NULL;
        room = 0;
    }
    free(mount.line);
    if (file)
        (void)fclose(file);
    return mounts;
}

/* The topmost mount that the path lies in; NULL where there is no /proc. */
static const struct host_mount *host_of(const struct host_mounts *mounts, const char *path) {
    const struct host_mount *found = NULL;
    for (size_t i = 0; i < mounts->n; i++) {
        const char *at = mounts->all[i].at;
        if ((is_in(path, at) || strcmp(path, at) == 0) && (!found || strlen(at) >= strlen(found->at)))
            found = &mounts->all[i];
    }
    return found;
}

/* ---- the text ---- */

struct listing {
    const pto_view *view;
    struct host_mounts host;
    FILE *out;
    bool info;       /* mountinfo, else mounts */
    unsigned next;   /* the id of the next mount that is none of the view's places */
};

/* What a line says.  of: the mount of the host that it is, or lies in; NULL: none. */
struct entry {
    unsigned id, parent;
    const char *root, *below, *path, *type;   /* below: what follows root there */
    const struct host_mount *of;
    bool read_only;
};

static void print_entry(const struct listing *listing, const struct entry *entry) {
    const struct host_mount *of = entry->of;
    const char *how = entry->read_only || (of && strncmp(of->options, "ro", 2) == 0) ? "ro" : "rw";
    const char *options = of ? of->options + 2 : ",relatime", *source = of ? of->source : entry->type;
    FILE *out = listing->out;
    if (listing->info) {
        fprintf(out, "%u %u ", entry->id, entry->parent);
        if (of)
            fprintf(out, "%s ", of->device);
        else
            fprintf(out, "0:%u ", entry->id);
        print_path(out, entry->root);
        print_path(out, entry->below);
        fputc(' ', out);
        print_path(out, entry->path);
        fprintf(out, " %s%s - %s %s %s\n", how, options, entry->type, source, of ? of->super : how);
    } else {
        const char *more = of ? strchr(of->super, ',') : NULL;
        fprintf(out, "%s ", source);
        print_path(out, entry->path);
        fprintf(out, " %s %s%s%s 0 0\n", entry->type, how, options, more ? more : "");
    }
}

/* The host's mounts that show below a place of the view which is the host's own. */
static void print_below(struct listing *listing, const struct view_mount *place, size_t i) {
    size_t length = strcmp(place->host, "/") == 0 ? 0 : strlen(place->host);
    const char *at = strcmp(place->path, "/") == 0 ? "" : place->path;
    for (size_t n = 0; n < listing->host.n; n++) {
        const struct host_mount *mount = &listing->host.all[n];
        char path[VIEW_PATH_MAX];
        if (!is_in(mount->at, place->host) || host_of(&listing->host, mount->at) != mount ||
            snprintf(path, sizeof path, "%s%s", at, mount->at + length) >= (int)sizeof path ||
            mounts_id(listing->view, path) != FIRST_ID + (unsigned)i)
            continue;   /* hidden by another mount, or by a place of the view */
        struct entry entry = {.id = listing->next++,
                              .parent = FIRST_ID + (unsigned)i,
                              .root = mount->root,
                              .below = "",
                              .path = path,
                              .type = mount->type,
                              .of = mount,
                              .read_only = place->read_only};
        print_entry(listing, &entry);
    }
}

static void print_mount(struct listing *listing, const struct view_mount *mount, size_t i) {
    struct entry entry = {.id = FIRST_ID + (unsigned)i,
                          .parent = parent_of(listing->view, mount->path, i),
                          .root = mount->type ? "/" : mount->source,
                          .below = "",
                          .path = mount->path,
                          .type = mount->type,
                          .read_only = mount->read_only};
    bool host = !mount->type && mount->host;
    if (!mount->type)
        entry.type = mount->overlay ? "overlay" : "none";
    if (host && (entry.of = host_of(&listing->host, mount->host))) {
        const char *below = mount->host + (strcmp(entry.of->at, "/") == 0 ? 0 : strlen(entry.of->at));
        bool whole = strcmp(entry.of->root, "/") == 0;
        entry.root = whole && *below ? "" : entry.of->root;
        entry.below = whole && strcmp(below, "/") == 0 ? "/" : below;
        entry.type = entry.of->type;
    }
    print_entry(listing, &entry);
    if (host)
        print_below(listing, mount, i);
}

static char *make_text(const pto_view *view, bool info, size_t *length) {
    char *text = NULL;
    size_t n = 0;
    struct view_mount mount;
    while (view_mount_told(view, n, &mount))
        n++;
    HOST_MOUNTS host = read_host();
    struct listing listing = {
        .view = view, .host = host, .out = open_memstream(&text, length), .info = info, .next = FIRST_ID + (unsigned)n};
    if (!listing.out)
        return NULL;
    if (!view_mount_told(view, 0, &mount) || strcmp(mount.path, "/") != 0) {
        static const struct view_mount root = {.path = "/", .source = "/", .host = "/"};
        print_mount(&listing, &root, FIRST_ID);
    }
    for (size_t i = 0; view_mount_told(view, i, &mount); i++)
        print_mount(&listing, &mount, i);
    if (fclose(listing.out) == 0)
        return text;
    free(text);
    return NULL;
}

bool mounts_plan(struct call *call, int flags) {
    const struct location *loc = &call->scratch->loc[0];
    pid_t pid;
    if (!view_has_mounts(call->view) || loc->overlay || loc->hidden || loc->type != S_IFREG)
        return false;
    const char *name = proc_process(loc->path, &pid);
    bool info = name && strcmp(name, "mountinfo") == 0;
    if (!info && !(name && strcmp(name, "mounts") == 0))
        return false;
    size_t length = 0;
    char *text = make_text(call->view, info, &length);
    bool planned = text && maps_plan_text(call, text, length, flags);
    free(text);
    return planned;
}
