/* maps.c - /proc/PID/maps, smaps and numa_maps, which tell where the files that a process has mapped are.
 *
 * The kernel writes their real paths.  Who opens such a file for reading gets another one, with its text of that moment
 * and the view's paths.  proc(5), fs/proc/task_mmu.c.
 *
 * Rules: the kernel is asked as the task (but about its own process, which is always open to it), and only about
 * processes of the run, since no Landlock domain keeps the supervisor from the others.  What cannot be had, or needs no
 * other path, is opened as ever.  The view is left while the kernel writes: it locks whole address spaces for that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../arch/arch.h"
#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../call.h"
#include "../flags.h"
#include "../host/acting.h"
#include "../programs/programs.h"
#include "../scratch.h"
#include "../session.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "magic.h"
#include "maps.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u    /* Linux 6.3 */
#endif
#define PIECE (64u << 10)       /* bytes that are read at once */
#define TEXT_MAX (256u << 20)   /* bytes of a text */
/* Flags of an open that means the text and nothing else. */
#define O_FOR_TEXT (O_APPEND | O_CLOEXEC | O_KERNEL_LARGEFILE | O_LARGEFILE | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK)

static const char deleted[] = " (deleted)";

/* ---- texts ---- */

struct text {
    char *bytes;
    size_t length, room;
};

static void text_free(const struct text *text) {
    free(text->bytes);
}
#define TEXT __attribute__((cleanup(text_free))) struct text

/* Room for `more` bytes behind what there is. */
static bool text_grow(struct text *text, size_t more) {
    size_t room = text->room ? text->room : PIECE;
    while (room - text->length < more)
        room *= 2;
    if (room > TEXT_MAX)
        return false;
    if (room == text->room)
        return true;
    char *bytes = realloc(text->bytes, room);
    if (!bytes)
        return false;
    text->bytes = bytes;
    text->room = room;
    return true;
}

static bool text_add(struct text *text, const char *bytes, size_t length) {
    if (!text_grow(text, length))
        return false;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    return true;
}

static bool text_read(struct text *text, int fd) {
    ssize_t n;
    do {
        if (!text_grow(text, PIECE))
            return false;
        n = read(fd, text->bytes + text->length, text->room - text->length);
        text->length += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0;
}

/* ---- one path, as it stands in a line ---- */

/* The characters that are written as \ooo: of maps and smaps; of numa_maps. */
#define ESCAPED_IN_LINE "\n"
#define ESCAPED_IN_WORD "\n\t= "

struct mending {
    struct call *call;
    const char *escaped;
    struct text *out;
    const char *last;           /* the path before, which lies in the text that is read … */
    size_t last_length;
    size_t shown, shown_length; /* … and what was written for it */
    bool changed;
    bool ours;                  /* the mapping is of the stub (untouched/), which nobody sees */
};

static bool exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

#define ESCAPE 4    /* bytes of \ooo */

static void to_octal(char c, char out[ESCAPE]) {
    out[0] = '\\';
    for (int digit = 1; digit < ESCAPE; digit++)
        out[digit] = (char)('0' + (c >> (3 * (ESCAPE - 1 - digit)) & 7));
}

/* The character that \ooo stands for; '\0': it stands for itself. */
static char escaped_by(const char *escaped, const char *text) {
    char octal[ESCAPE];
    for (; *escaped; escaped++) {
        to_octal(*escaped, octal);
        if (strncmp(text, octal, ESCAPE) == 0)
            break;
    }
    return *escaped;
}

/* A backslash itself is not written otherwise, so what looks like this may be the name as it is. */
static void from_octals(const struct mending *mending, char *path) {
    if (!strchr(path, '\\') || exists(path))
        return;
    char *to = path;
    for (const char *from = path; *from; to++) {
        char was = escaped_by(mending->escaped, from);
        *to = was ? was : *from;
        from += was ? ESCAPE : 1;
    }
    *to = '\0';
}

static bool add_escaped(struct mending *mending, const char *path) {
    bool added = true;
    for (; *path && added; path++) {
        char octal[ESCAPE];
        bool plain = !strchr(mending->escaped, *path);
        if (!plain)
            to_octal(*path, octal);
        added = text_add(mending->out, plain ? path : octal, plain ? 1 : ESCAPE);
    }
    return added;
}

/* Takes " (deleted)" off: a name may end so, too, if there is one. */
static int take_kind(char *path) {
    size_t length = strlen(path), tail = sizeof deleted - 1;
    if (length <= tail || strcmp(path + length - tail, deleted) != 0 || exists(path))
        return OBJECT_NAMED;
    path[length - tail] = '\0';
    return OBJECT_DELETED;
}

/* Writes what the view has for a path. */
static bool add_shown(struct mending *mending, const char *bytes, size_t length) {
    struct call_scratch *scratch = mending->call->scratch;
    char *path = scratch->real;
    bool same;
    if (length >= PATH_MAX)
        return text_add(mending->out, bytes, length);
    memcpy(path, bytes, length);
    path[length] = '\0';
    from_octals(mending, path);
    int kind = take_kind(path), was = kind;
    strcpy(scratch->text, path);
    int error = magic_shown(mending->call, path, &kind, &same);
    if (error == 0)
        (void)magic_from_root(mending->call, path);
    if (error < 0 || (kind == was && strcmp(path, scratch->text) == 0))
        return text_add(mending->out, bytes, length);
    mending->changed = true;
    return add_escaped(mending, path) && (kind == OBJECT_NAMED || add_escaped(mending, deleted));
}

/* Most files are mapped several times, one after the other. */
static bool add_path(struct mending *mending, const char *bytes, size_t length) {
    struct text *out = mending->out;
    if (mending->last && mending->last_length == length && memcmp(mending->last, bytes, length) == 0)
        return text_grow(out, mending->shown_length) &&
               text_add(out, out->bytes + mending->shown, mending->shown_length);
    mending->last = bytes;
    mending->last_length = length;
    mending->shown = out->length;
    bool added = add_shown(mending, bytes, length);
    mending->shown_length = out->length - mending->shown;
    return added;
}

/* ---- lines ---- */

/* Where the path of a line of maps or smaps begins, behind five fields; its end: there is none. */
static const char *path_in_line(const char *line, const char *end) {
    const char *at = line;
    for (int field = 0; field < 5 && at < end; field++) {
        while (at < end && *at != ' ')
            at++;
        while (at < end && *at == ' ')
            at++;
    }
    return at < end && *at == '/' ? at : end;
}

/* The same of numa_maps. */
static const char *path_in_words(const char *line, const char *end) {
    static const char file[] = " file=";
    const char *at = memmem(line, (size_t)(end - line), file, sizeof file - 1);
    at = at ? at + sizeof file - 1 : end;
    return at < end && *at == '/' ? at : end;
}

static bool add_line(struct mending *mending, const char *line, const char *end) {
    bool words = strcmp(mending->escaped, ESCAPED_IN_WORD) == 0;
    const char *path = words ? path_in_words(line, end) : path_in_line(line, end);
    const char *space = words ? memchr(path, ' ', (size_t)(end - path)) : NULL, *rest = space ? space : end;
    return text_add(mending->out, line, (size_t)(path - line)) &&
           (path == rest || add_path(mending, path, (size_t)(rest - path))) &&
           text_add(mending->out, rest, (size_t)(end - rest));
}

/* A line that begins with an address begins a mapping; those of smaps that follow are about it. */
static bool is_of_stub(struct mending *mending, const char *line) {
    char *behind;
    uint64_t address = strtoull(line, &behind, 16);
    if (behind > line + 1 && (*behind == '-' || *behind == ' '))
        mending->ours = address / ARCH_STUB_SIZE == ARCH_STUB_BEGIN / ARCH_STUB_SIZE && ARCH_STUB_BEGIN != 0;
    mending->changed |= mending->ours;
    return mending->ours;
}

/* False: there is nothing to mend in it, or no memory for that. */
static bool mend(struct mending *mending, const struct text *in) {
    const char *end = in->bytes + in->length;
    bool added = true;
    for (const char *line = in->bytes; line < end && added;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;
        added = is_of_stub(mending, line) ||
                (add_line(mending, line, stop) && text_add(mending->out, "\n", newline ? 1 : 0));
        line = newline ? newline + 1 : end;
    }
    return added && mending->changed;
}

/* ---- from the file to its other text ---- */

/* What is written as \ooo in the file; NULL: it is none of these. */
static const char *escaped_in(const char *path, pid_t *pid) {
    const char *name = proc_process(path, pid);
    if (!name)
        return NULL;
    if (strcmp(name, "maps") == 0 || strcmp(name, "smaps") == 0)
        return ESCAPED_IN_LINE;
    return strcmp(name, "numa_maps") == 0 ? ESCAPED_IN_WORD : NULL;
}

/* The status of a task of a fake root tells what that sees. */
static bool is_status(const struct call *call, const char *path, pid_t *pid) {
    const char *name = seen_wanted(call->session) ? proc_process(path, pid) : NULL;
    return name && strcmp(name, "status") == 0;
}

static int open_as_task(const struct call *call, const char *path, bool own) {
    static const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW;
    if (own)
        return open(path, flags);
    ACTING acting;
    return acting_begin(&acting, call, false) < 0 ? -1 : open(path, flags);
}

static bool read_as_task(const struct call *call, const char *path, pid_t pid, struct text *text) {
    const struct task *task = call->task;
    bool own = pid == task->tgid || pid == task->tid;
    if (pid == getpid() || !(own || task_in_run(call->session, pid)))
        return false;
    CLOSE_DESCRIPTOR fd = open_as_task(call, path, own);
    return fd >= 0 && text_read(text, fd);
}

/* A descriptor that nothing can be written by, or -errno. */
static int open_memory(const struct text *text, int flags) {
    char ours[PROC_LINK];
    CLOSE_DESCRIPTOR fd = memfd_create("maps", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("maps", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int error = descriptor_write(fd, text->bytes, text->length);
    if (error < 0)
        return error;
    if (fchmod(fd, 0444) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    descriptor_own_link(fd, ours);
    int opened = open(ours, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

/* A trap that opens gets a descriptor, the other one a path; a file there is gone with the call. */
static int plan_text(struct call *call, const struct text *text, int flags) {
    struct open_plan *plan = &call->scratch->plan;
    plan->flags = flags | O_NOFOLLOW;
    plan->unasked = 0;
    if (call->session->opens) {
        strcpy(plan->path, call->scratch->loc[0].path);
        plan->fd = open_memory(text, flags);
        return plan->fd < 0 ? plan->fd : 0;
    }
    call->scratch->short_name = programs_text(call->session, &call->task->cred, text->bytes, text->length, plan->path);
    return call->scratch->short_name < 0 ? call->scratch->short_name : 0;
}

bool maps_plan(struct call *call, int flags) {
    const struct location *loc = &call->scratch->loc[0];
    TEXT in = {0}, out = {0};
    pid_t pid;
    if (flags & ~O_FOR_TEXT || loc->overlay || loc->hidden || loc->slash || loc->type != S_IFREG)
        return false;
    const char *escaped = escaped_in(loc->path, &pid);
    bool status = !escaped && is_status(call, loc->path, &pid);
    if (!escaped && !status)
        return false;
    verdict_leave_view(call);
    bool known = read_as_task(call, loc->path, pid, &in) && (!status || text_add(&in, "", 1));
    verdict_enter_view(call);
    if (status) {
        out.bytes = known ? seen_status(call->task, pid, in.bytes, &out.length) : NULL;
        return out.bytes && plan_text(call, &out, flags) == 0;
    }
    struct mending mending = {.call = call, .escaped = escaped, .out = &out};
    return known && mend(&mending, &in) && plan_text(call, &out, flags) == 0;
}

bool maps_plan_text(struct call *call, const char *bytes, size_t length, int flags) {
    TEXT text = {0};
    return !(flags & ~O_FOR_TEXT) && task_cred(call) && text_add(&text, bytes, length) &&
           plan_text(call, &text, flags) == 0;
}
