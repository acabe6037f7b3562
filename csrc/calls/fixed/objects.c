/* objects.c - the numbers and times of files that a build is told.
 *
 * Rules: an object's number is its place in the order in which objects were asked about.  What is older than the epoch
 * has its own time; what is younger, and was there before the run, has the epoch's; what the run makes and writes has
 * the epoch's too, but by as many nanoseconds later as things were made and written before, so that make(1) and test
 * -nt see what is newer, while whoever keeps whole seconds keeps the same ones.  A time that a program has set itself
 * is that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../../view/view.h"
#include "../call.h"
#include "../handlers/handlers.h"
#include "../handlers/open.h"
#include "../scratch.h"
#include "../session.h"
#include "../table.h"
#include "../verdict.h"
#include "fixed.h"
#include "objects.h"

#define SECOND 1000000000u
#define FIRST_SIZE 4096u    /* of the table: a power of two */
#define BLOCK 4096u         /* bytes; of directories, too */
#define SECTOR 512u
#define COVERED 1u         /* the device of what overlays cover; those of others follow */

struct object {
    dev_t dev;
    uint64_t ino;
    uint64_t number;        /* 0: the slot is free */
    uint64_t stamp;         /* when the run has changed it last; 0: never, as far as is known */
};

struct objects {
    struct object *slots;
    size_t size, used;
    dev_t devices[64];
    unsigned n_devices;
    uint64_t numbers, stamps;   /* the last ones that were given */
};

void objects_clear(struct fixed *fixed) {
    if (fixed->objects)
        free(fixed->objects->slots);
    free(fixed->objects);
    fixed->objects = NULL;
}

static struct object *slot_of(const struct objects *objects, dev_t dev, uint64_t ino) {
    uint64_t hash = (ino ^ ((uint64_t)dev << 32)) * 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(hash >> 20);; i++) {
        struct object *object = &objects->slots[i & (objects->size - 1)];
        if (!object->number || (object->dev == dev && object->ino == ino))
            return object;
    }
}

static bool grow(struct objects *objects) {
    struct objects wider = *objects;
    wider.size = objects->size ? 2 * objects->size : FIRST_SIZE;
    wider.slots = calloc(wider.size, sizeof *wider.slots);
    if (!wider.slots)
        return false;
    for (size_t i = 0; i < objects->size; i++)
        if (objects->slots[i].number)
            *slot_of(&wider, objects->slots[i].dev, objects->slots[i].ino) = objects->slots[i];
    free(objects->slots);
    *objects = wider;
    return true;
}

/* NULL: there is no memory. */
static struct object *find(struct fixed *fixed, dev_t dev, uint64_t ino) {
    HELD(&fixed->lock);
    if (!fixed->objects)
        fixed->objects = calloc(1, sizeof *fixed->objects);
    struct objects *objects = fixed->objects;
    if (!objects || (2 * objects->used >= objects->size && !grow(objects)))
        return NULL;
    struct object *object = slot_of(objects, dev, ino);
    if (!object->number) {
        *object = (struct object){.dev = dev, .ino = ino, .number = ++objects->numbers};
        objects->used++;
    }
    return object;
}

static unsigned device_number(struct objects *objects, dev_t dev) {
    unsigned i = 0;
    while (i < objects->n_devices && objects->devices[i] != dev)
        i++;
    if (i == objects->n_devices && i < sizeof objects->devices / sizeof *objects->devices)
        objects->devices[objects->n_devices++] = dev;
    return COVERED + 1 + i;
}

uint64_t objects_number(struct fixed *fixed, dev_t dev, uint64_t ino) {
    lock_take(&fixed->lock);
    const struct object *object = find(fixed, dev, ino);
    uint64_t number = object ? object->number : ino;
    lock_leave(&fixed->lock);
    return number;
}

/* ---- what is told ---- */

static void show_times(const struct fixed *fixed, uint64_t stamp, struct statx *stx) {
    const struct statx_timestamp *is = &stx->stx_mtime;
    struct statx_timestamp told = *is;
    uint64_t real = (uint64_t)is->tv_sec * SECOND + is->tv_nsec;
    if (is->tv_sec >= 0 && real >= fixed->started)
        told = (struct statx_timestamp){.tv_sec = fixed->epoch + (int64_t)(stamp / SECOND),
                                        .tv_nsec = (uint32_t)(stamp % SECOND)};
    else if (is->tv_sec > fixed->epoch)
        told = (struct statx_timestamp){.tv_sec = fixed->epoch};
    stx->stx_mtime = stx->stx_atime = stx->stx_ctime = stx->stx_btime = told;
}

static void show_size(struct statx *stx) {
    bool directory = S_ISDIR(stx->stx_mode);
    if (directory) {   /* file systems count names and directories each in their own way */
        stx->stx_size = BLOCK;
        stx->stx_nlink = 1;
    }
    stx->stx_blksize = BLOCK;
    if (directory || S_ISREG(stx->stx_mode))
        stx->stx_blocks = (stx->stx_size + BLOCK - 1) / BLOCK * (BLOCK / SECTOR);
}

void objects_show(struct fixed *fixed, struct statx *stx, bool covered) {
    lock_take(&fixed->lock);
    struct object *object = find(fixed, makedev(stx->stx_dev_major, stx->stx_dev_minor), stx->stx_ino);
    if (object) {
        stx->stx_dev_major = 0;
        stx->stx_dev_minor = covered ? COVERED : device_number(fixed->objects, object->dev);
        stx->stx_ino = object->number;
        if (!object->stamp)
            object->stamp = ++fixed->objects->stamps;
    }
    show_times(fixed, object ? object->stamp : 0, stx);
    show_size(stx);
    lock_leave(&fixed->lock);
}

/* ---- what has changed ---- */

/* made: it is a new one, though it may have the number of one that is gone. */
static void stamp(struct call *call, const char *path, bool made) {
    struct fixed *fixed = call->session->fixed;
    static const struct cred own = {.own = true};
    const struct walker walker = {.cred = &own};
    struct location *loc = &call->scratch->spare;
    struct statx stx;
    if (view_walk(call->view, &walker, "/", path, 0, loc) < 0 || !loc->type || view_getattr(call->view, loc, &stx) < 0)
        return;
    lock_take(&fixed->lock);
    struct object *object = find(fixed, makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino);
    if (object && made)
        object->number = ++fixed->objects->numbers;
    if (object)
        object->stamp = ++fixed->objects->stamps;
    lock_leave(&fixed->lock);
}

/* The object, or its name, and the directory that the name is in. */
static void stamp_operand(struct call *call, unsigned i, bool names, bool made) {
    char *path = call->scratch->text;
    const struct location *loc = &call->scratch->loc[i];
    if (!loc->overlay || loc->length >= sizeof call->scratch->text)
        return;
    memcpy(path, loc->path, loc->length + 1);
    stamp(call, path, made);
    char *slash = names ? strrchr(path, '/') : NULL;
    if (!slash)
        return;
    slash[slash == path] = '\0';
    stamp(call, path, false);
}

void objects_changed(struct call *call) {
    const struct call_row *row = call->row;
    bool opens = call->verdict == VERDICT_OPEN && open_may_change(call->open_flags);
    bool done = call->verdict == VERDICT_RETURN && call->value >= 0;
    bool changes = row->name_is != NAME_STAYS || row->contents == CONTENTS_CUT || row->handler == do_utimensat;
    if (!opens && !(done && changes))
        return;
    verdict_enter_view(call);
    bool made = opens ? !call->scratch->loc[0].type : row->name_is == NAME_MADE;
    if (row->name_is != NAME_LINKED)
        stamp_operand(call, 0, made || row->name_is != NAME_STAYS, made);
    if (row->operand[1].path != NO_ARG)
        stamp_operand(call, 1, true, false);
}
