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

#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../verdict.h"
#include "magic.h"
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

/* What there was before is named by what programs know it as. */
static const char *type_of(const struct view_mount *mount) {
    if (mount->type)
        return mount->type;
    if (mount->overlay)
        return "overlay";
    return strcmp(mount->source, "/proc") == 0 || strcmp(mount->path, "/proc") == 0 ? "proc" : "none";
}

static void print_mount(FILE *out, const pto_view *view, const struct view_mount *mount, size_t i, bool info) {
    const char *how = mount->read_only ? "ro" : "rw", *type = type_of(mount);
    if (info) {
        fprintf(out, "%u %u 0:%u ", FIRST_ID + (unsigned)i, parent_of(view, mount->path, i), FIRST_ID + (unsigned)i);
        print_path(out, mount->type ? "/" : mount->source);
        fputc(' ', out);
        print_path(out, mount->path);
        fprintf(out, " %s,relatime - %s %s %s\n", how, type, type, how);
    } else {
        fprintf(out, "%s ", type);
        print_path(out, mount->path);
        fprintf(out, " %s %s,relatime 0 0\n", type, how);
    }
}

static char *make_text(const pto_view *view, bool info, size_t *length) {
    char *text = NULL;
    struct view_mount mount;
    FILE *out = open_memstream(&text, length);
    if (!out)
        return NULL;
    if (!view_mount_told(view, 0, &mount) || strcmp(mount.path, "/") != 0) {
        static const struct view_mount root = {.path = "/", .source = "/"};
        print_mount(out, view, &root, FIRST_ID, info);
    }
    for (size_t i = 0; view_mount_told(view, i, &mount); i++)
        print_mount(out, view, &mount, i, info);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

bool mounts_plan(struct call *call, int flags) {
    const struct location *loc = &call->scratch->loc[0];
    pid_t pid;
    if (!view_has_mounts(call->view) || loc->overlay || loc->hidden || loc->type != S_IFREG)
        return false;
    const char *name = magic_process(loc->path, &pid);
    bool info = name && strcmp(name, "mountinfo") == 0;
    if (!info && !(name && strcmp(name, "mounts") == 0))
        return false;
    size_t length = 0;
    char *text = make_text(call->view, info, &length);
    bool planned = text && maps_plan_text(call, text, length, flags);
    free(text);
    return planned;
}
