/* directory.c - the numbers by which the stub knows directories, and that of its process's current one.
 *
 * Rules: of a current directory the stub's process is told what the kernel has for it, which is read while nobody of
 * the process can change it; a page that another process shares (vfork) is its owner's alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../calls/scratch.h"
#include "../calls/session.h"
#include "../calls/tasks/cwd.h"
#include "../calls/tasks/task.h"
#include "../process/descriptor.h"
#include "../process/family.h"
#include "../process/memory.h"
#include "../process/object.h"
#include "directory.h"
#include "untouched.h"

#define DOT "/."

struct split directory_split(const char *text, size_t length) {
    size_t begin = length;
    while (begin && text[begin - 1] != '/')
        begin--;
    const char *name = text + begin;
    return (struct split){
        .text = text,
        .length = length,
        .above = begin ? begin - 1 : 0,
        .relative = text[0] != '/',
        .alone = begin == 0,
        .special = !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0,
    };
}

/* ---- of the upper ---- */

uint32_t directory_find_own(struct untouched *untouched, const struct location *loc, struct view_alone *alone,
                            char *real) {
    if (!view_find_alone(untouched->view, loc, alone, real))
        return 0;
    table_insert_inode(&untouched->table, alone->dev, alone->ino, alone->directory, alone->lists);
    return alone->directory;
}

uint32_t directory_own(struct untouched *untouched, const struct location *loc, char *path) {
    struct view_alone alone;
    char real[PATH_MAX];
    if (loc->length >= PATH_MAX || !directory_find_own(untouched, loc, &alone, real))
        return 0;
    memcpy(path, loc->path, loc->length + 1);
    return alone.directory;
}

/* ---- of the lower ---- */

uint32_t directory_of_lower(struct untouched *untouched, struct call *call, char *path) {
    struct view_way way;
    struct location *loc = &call->scratch->spare;
    size_t length = strlen(path);
    if (length + sizeof DOT > PATH_MAX)
        return 0;
    strcpy(path + length, DOT);
    bool known = view_find_way(untouched->view, &call->task->cred, "/", path, loc, &way);
    path[length] = '\0';
    return known && strcmp(loc->path, path) == 0 ? way.directory : 0;
}

void directory_learn_start(struct untouched *untouched, struct call *call) {
    struct stat st;
    char path[PATH_MAX];
    const struct given *given = &call->scratch->given[0];
    struct location *loc = &call->scratch->spare;
    if (given->kind != OBJECT_NAMED || lstat(given->real, &st) < 0 || !S_ISDIR(st.st_mode) ||
        table_find_inode(&untouched->table, st.st_dev, st.st_ino) ||
        view_locate(untouched->view, given->real, loc) < 0 || loc->detached || !(loc->way || loc->upper) ||
        loc->length >= sizeof path)
        return;
    bool lower = loc->way;
    memcpy(path, loc->path, loc->length + 1);
    uint32_t directory = directory_of_lower(untouched, call, path);
    if (directory)
        table_insert_part(&untouched->table, st.st_dev, st.st_ino, directory, lower ? NULL : path);
}

/* ---- current ones ---- */

static int read_cwd(pid_t tid, struct stub_cwd *cwd) {
    return memory_read(&MEMORY(tid), STUB_CWD, cwd, sizeof *cwd);
}

static void write_cwd(pid_t tid, struct stub_cwd *cwd) {
    cwd->changes++;
    (void)memory_write(&MEMORY(tid), STUB_CWD, cwd, sizeof *cwd);
}

/* Nobody else uses the address space, as a child does between vfork and execve. */
static bool has_own_memory(pid_t process) {
    pid_t parent;
    (void)family_of(process, &parent);
    return parent > 0 && syscall(SYS_kcmp, process, parent, KCMP_VM, 0, 0) > 0;
}

static pid_t process_of(const struct call *call) {
    return call->task->tgid ? call->task->tgid : family_process(call->task->tid);
}

/* The path of the task's current directory if it is the lower's own place, or the upper's alone; the directory's
 * number, 0: it is neither. */
static uint32_t find_cwd(struct untouched *untouched, struct call *call, char *real) {
    char link[PROC_LINK];
    descriptor_link(call->task->tid, AT_FDCWD, link);
    struct location *loc = &call->scratch->spare;
    if (object_read(link, real) != OBJECT_NAMED || strlen(real) + sizeof DOT >= PATH_MAX ||
        view_locate(untouched->view, real, loc) < 0 || loc->detached || loc->length + sizeof DOT >= PATH_MAX)
        return 0;
    if (!loc->way)
        return loc->upper ? directory_own(untouched, loc, real) : 0;
    return directory_of_lower(untouched, call, real);
}

uint32_t directory_current(struct untouched *untouched, struct call *call, char *real) {
    struct stub_cwd cwd;
    pid_t tid = call->task->tid, process = process_of(call);
    if (cwd_kept(call->session, tid) || read_cwd(tid, &cwd) < 0 || cwd.generation == STUB_CWD_OFF)
        return 0;
    if (cwd.owner == 0 && has_own_memory(process))
        cwd.owner = (uint64_t)process;
    if (cwd.owner != (uint64_t)process)
        return 0;
    uint32_t directory = find_cwd(untouched, call, real);
    uint64_t generation = untouched->table.shared->generation;
    if (directory && (cwd.generation != generation || cwd.directory != directory)) {
        cwd.directory = directory;
        cwd.generation = generation;
        write_cwd(tid, &cwd);
        untouched->table.learnt++;
    }
    return directory;
}

void untouched_moves(const struct untouched *untouched, pid_t tid) {
    struct stub_cwd cwd;
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) || read_cwd(tid, &cwd) < 0 ||
        cwd.generation == STUB_CWD_OFF)
        return;
    cwd.generation = family_alone(tid) ? 0 : STUB_CWD_OFF;
    write_cwd(tid, &cwd);
}
