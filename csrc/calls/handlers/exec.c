/* exec.c - execve and execveat.
 *
 * Rules: the kernel opens interpreters by itself, and by host paths.  So the chain from a script to the last
 * interpreter is followed here in the view, and if anything on it is not where the kernel would find it the tracee runs
 * the last program with the argv that the kernel would have made.  The new program must not see the difference:
 * its comm is the last component of what was asked for, and AT_EXECFN is put right at the end of the call.
 * fs/exec.c, fs/binfmt_script.c, fs/binfmt_elf.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../faked/faked.h"
#include "../fixed/clock.h"
#include "../fixed/fixed.h"
#include "../flags.h"
#include "../inputs.h"
#include "../programs/elf.h"
#include "../programs/executed.h"
#include "../programs/programs.h"
#include "../programs/script.h"
#include "../reach.h"
#include "../scratch.h"
#include "../session.h"
#include "../table.h"
#include "../tasks/common.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "exec.h"
#include "handlers.h"

#define SCRIPTS_MAX 5           /* depth at which exec_binprm() gives ELOOP */
#define NAMES_MAX (2 * SCRIPTS_MAX + 1)
#define POINTERS_MAX (6u << 20) /* bytes of argv: 3/4 of _STK_LIM, the most that any stack limit allows */
#define POINTERS_AT_ONCE 512u

/* How the kernel finds what it executes besides what it is asked for. */
#define WALK_PROGRAM (WALK_FOLLOW | WALK_EXECUTES)

struct exec {
    char given[PATH_MAX + 32];          /* what the kernel calls the program: bprm->filename */
    char path[PATH_MAX];                /* what it is given instead */
    bool unreachable;                   /* given is a path through a descriptor that the exec closes */
    bool touched;                       /* something is not where the kernel would look */
    bool alone;                         /* … and it is the first alone */
    char first[PATH_MAX];               /* real path of what was asked for */
    unsigned depth;                     /* scripts passed */
    struct script scripts[SCRIPTS_MAX];
    bool narrow;                        /* the last program is one of 32 bits */
    bool plain;                         /* … was looked at, and has neither set-id bits nor capabilities */
    char interpreter[PATH_MAX];         /* real path of the ELF interpreter, when it has moved */
    unsigned n_names;                   /* what replaces argv[0] */
    const char *names[NAMES_MAX];
    uint32_t relocations[NAMES_MAX];
    char *argv;                         /* the new argv and its strings; the scratch owns it */
};

/* ---- following the chain ---- */

/* What execveat(2) makes of a descriptor and a path: bprm->fdpath. */
static void set_given(struct call *call, struct exec *exec) {
    const struct given *given = &call->scratch->given[0];
    if (given->absolute || (given->fd == AT_FDCWD && !given->by_fd)) {
        memcpy(exec->given, given->path, given->length + 1);
        return;
    }
    if (given->by_fd)
        snprintf(exec->given, sizeof exec->given, "/dev/fd/%d", given->fd);
    else
        snprintf(exec->given, sizeof exec->given, "/dev/fd/%d/%s", given->fd, given->path);
    int flags = descriptor_flags(call->task->tid, given->fd);
    exec->unreachable = flags > 0 && (flags & O_CLOEXEC);
}

static int may_execute(struct call *call, const struct location *loc) {
    if (loc->hidden || loc->type == 0)
        return -ENOENT;
    if (loc->type == S_IFLNK)
        return -ELOOP;
    if (loc->type != S_IFREG)
        return -EACCES;
    return view_permission(call->view, loc, &call->task->cred, X_OK);
}

/* Opens what loc is for looking at it; -1 with errno. */
static int open_program(struct call *call, const struct location *loc) {
    char *real = call->scratch->real;
    int error = view_real(call->view, loc, real, VIEW_PATH_MAX);
    if (error == 0 && reach_is_far(real))
        error = view_open_exact(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (error != 0) {
        errno = error < 0 ? -error : 0;
        return error < 0 ? -1 : error;
    }
    return open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

/* Finds out whether the kernel would find the ELF interpreter. */
static int elf_place(struct call *call, struct exec *exec, const struct elf_file *file) {
    char name[PATH_MAX];
    struct location *loc = &call->scratch->loc[1];
    if (elf_interpreter(file, name) <= 0)
        return 0;
    int error = args_walk_path(call, name, WALK_PROGRAM, loc);
    if (call->session->inputs)
        inputs_note(call, PTO_INPUT_LOADER, loc);
    if (error == 0 && loc->pass && !loc->hidden)
        return 0;
    if (error == 0)
        error = may_execute(call, loc);
    if (error < 0)
        return error;
    exec->touched = true;
    exec->alone = false;
    return view_real(call->view, loc, exec->interpreter, PATH_MAX);
}

/* Neither set-id bits nor capabilities. */
static bool is_plain(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && !(st.st_mode & (S_ISUID | S_ISGID)) &&
           fgetxattr(fd, "security.capability", NULL, 0) < 0 && (errno == ENODATA || errno == EOPNOTSUPP);
}

/* The last program, which is what the kernel runs. */
static int found_program(struct call *call, struct exec *exec, const struct elf_file *file,
                         const struct location *loc) {
    exec->narrow = elf_is_compat(file);
    if (elf_is_foreign(file) || (exec->narrow && !session_compat(call->session))) {
        exec->touched = true;
        verdict_refuse(call, ENOEXEC, "a 32-bit program is refused with ENOEXEC: run a 64-bit build of it");
        call->foreign = true;
        return -ENOEXEC;
    }
    exec->plain = is_plain(file->fd);
    int error = elf_place(call, exec, file);
    if (error == 0 && !exec->touched && !exec->narrow && !exec->depth)
        executed_keep(call, loc, exec->plain);
    return error;
}

/* Follows one script. 1: there was one, and loc is now its interpreter. 0: loc is the program itself. */
static int next_program(struct call *call, struct exec *exec, struct location *loc) {
    struct elf_file file;
    CLOSE_DESCRIPTOR fd = open_program(call, loc);
    if (fd < 0 && errno == EACCES) {
        /* The kernel would execute it, and close the memory of what it runs to us: every call in it would fail. */
        exec->touched = true;
        verdict_refuse(call, EACCES, "a program that cannot be read closes its memory to the supervisor");
        return -EACCES;
    }
    if (fd < 0 || !elf_read(&file, fd))
        return 0;
    struct script script;
    int error = script_parse(file.head, &script);
    if (error == -ENOEXEC && exec->depth == 0)
        return 0;
    if (error <= 0)
        return error < 0 ? error : found_program(call, exec, &file, loc);
    if (exec->unreachable)
        return -ENOENT;
    if (exec->depth == SCRIPTS_MAX)
        return -ELOOP;
    if (!script.interpreter[0])
        return -EACCES;
    exec->scripts[exec->depth++] = script;
    error = args_walk_path(call, script.interpreter, WALK_PROGRAM, loc);
    if (error < 0 || !loc->pass || loc->hidden) {
        exec->touched = true;
        exec->alone = false;
    }
    if (call->session->inputs)
        inputs_note(call, PTO_INPUT_LOADER, loc);
    if (error == 0)
        error = may_execute(call, loc);
    return error < 0 ? error : 1;
}

/* ---- argv ---- */

/* In front of the old argv[1…]: interpreters from the last to the first, each with its argument, then the script. */
static void collect_names(struct exec *exec) {
    for (unsigned i = exec->depth; i-- > 0;) {
        exec->names[exec->n_names++] = exec->scripts[i].interpreter;
        if (exec->scripts[i].has_argument)
            exec->names[exec->n_names++] = exec->scripts[i].argument;
    }
    exec->names[exec->n_names++] = exec->given;
}

/* Bytes of a pointer of the tracee's. */
static size_t pointer_size(const struct call *call) {
    return call->compat ? sizeof(uint32_t) : sizeof(uint64_t);
}

static int read_pointers(struct call *call, uint64_t at, uint64_t *pointers, size_t n) {
    return call->compat ? compat_read_pointers(&call->memory, at, pointers, n)
                        : memory_read(&call->memory, at, pointers, n * sizeof *pointers);
}

/* Number of pointers in the tracee's argv; -EFAULT, -E2BIG. */
static ssize_t count_arguments(struct call *call, uint64_t argv) {
    uint64_t pointers[POINTERS_AT_ONCE];
    size_t count = 0, size = pointer_size(call), chunk = size * POINTERS_AT_ONCE;
    while (argv) {
        uint64_t at = argv + count * size;
        size_t part = (chunk - at % chunk) / size; /* to the end of a page */
        int error = read_pointers(call, at, pointers, part ? part : 1);
        if (error < 0)
            return error;
        for (size_t i = 0; i < (part ? part : 1); i++, count++)
            if (!pointers[i])
                return (ssize_t)count;
        if (count * size > POINTERS_MAX)
            return -E2BIG;
    }
    return 0;
}

static void put_pointer(const struct call *call, char *table, size_t i, uint64_t pointer) {
    uint32_t narrow = (uint32_t)pointer;
    size_t size = pointer_size(call);
    memcpy(table + i * size, call->compat ? (void *)&narrow : &pointer, size);
}

static int make_argv(struct call *call, struct exec *exec, uint64_t argv, size_t *size) {
    ssize_t count = count_arguments(call, argv);
    if (count < 0)
        return (int)count;
    size_t rest = count > 0 ? (size_t)count - 1 : 0;
    size_t width = pointer_size(call), pointers = (exec->n_names + rest + 1) * width, at = pointers;
    *size = pointers;
    for (unsigned i = 0; i < exec->n_names; i++)
        *size += strlen(exec->names[i]) + 1;
    exec->argv = call->scratch->owned[1] = calloc(1, *size);
    if (!exec->argv)
        return -ENOMEM;
    for (unsigned i = 0; i < exec->n_names; i++) {
        size_t length = strlen(exec->names[i]) + 1;
        memcpy(exec->argv + at, exec->names[i], length);
        put_pointer(call, exec->argv, i, at);
        exec->relocations[i] = (uint32_t)(i * width);
        at += length;
    }
    return rest ? memory_read(&call->memory, argv + width, exec->argv + exec->n_names * width, rest * width) : 0;
}

/* ---- what the kernel is given ---- */

static const char *last_component(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* AT_EXECFN will be overwritten with what the tracee asked for, so it must not be shorter. */
static int pad_path(char *path, size_t wanted) {
    size_t length = strlen(path);
    if (length >= wanted)
        return 0;
    if (wanted >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(path + wanted - length, path, length + 1);
    memset(path, '/', wanted - length);
    return 0;
}

static int choose_path(struct call *call, struct exec *exec, struct location *loc) {
    struct call_scratch *scratch = call->scratch;
    char *real = scratch->real;
    int error = view_real(call->view, loc, real, VIEW_PATH_MAX);
    if (error == 0 && reach_is_far(real)) {
        error = programs_reach(call->session, real, &scratch->reach, scratch->reached);
        real = scratch->reached;
    }
    if (error == 0 && exec->interpreter[0]) {
        error = view_name(call->view, loc);
        if (error == 0)
            error = programs_copy(call->session, loc->path, real, exec->interpreter, exec->path);
        memcpy(real, exec->path, PATH_MAX);
    }
    if (error < 0)
        return error;
    const char *name = last_component(exec->given);
    /* A program run through its descriptor is named after its file. */
    bool link = !call->scratch->given[0].by_fd && *name && strcmp(name, last_component(real)) != 0;
    if (!link || programs_link(call->session, name, real, exec->path) < 0)
        memcpy(exec->path, real, strlen(real) + 1);
    return pad_path(exec->path, strlen(exec->given));
}

static void run_real(struct call *call, struct exec *exec, size_t argv_size) {
    unsigned at = args_after(call);
    call->new_nr = SYS_execve;
    call->scratch->exec_patch = true;
    verdict_substitute_string(call, 0, exec->path);
    if (argv_size) {
        verdict_substitute_bytes(call, 1, exec->argv, argv_size);
        call->replacements[1].relocations = exec->relocations;
        call->replacements[1].n_relocations = exec->n_names;
    } else {
        verdict_substitute(call, 1, call->arg[at]);
    }
    verdict_substitute(call, 2, call->arg[at + 1]);
}

static bool only_check(const struct call *call) {
    return call->row->at_flags != NO_ARG && (call->arg[call->row->at_flags] & AT_EXECVE_CHECK);
}

/* The program there will run, if nothing of the kernel's is in the way. */
static void executes(struct call *call, const struct location *loc, bool plain) {
    call->task->executes = loc->dentry;
    call->task->executes_plain = call->task->cred_stays && plain;
    if (!call->task->executes_plain)
        common_end(call->session);
    view_executed(call->view, loc);
}

static void execute(struct call *call, struct exec *exec, struct target *target) {
    struct location *loc = target->loc;
    size_t argv_size = 0;
    exec->touched = !target->pass;
    int error = may_execute(call, loc);
    if (error == 0 && only_check(call))
        return exec->touched ? verdict_answer(call, 0) : (void)0;
    exec->alone = error == 0 && view_real(call->view, loc, exec->first, PATH_MAX) == 0;
    while (error == 0 && (error = next_program(call, exec, loc)) == 1)
        error = 0;
    if (error == 0)
        executes(call, loc, exec->plain);
    int other = error == 0 && seen_wanted(call->session) ? faked_execute(call, loc) : 0;
    if (other < 0)
        return verdict_answer(call, other);
    exec->touched |= other > 0;
    if (!exec->touched)
        return; /* whatever it is, the kernel says the same */
    if (error == 0)
        error = choose_path(call, exec, loc);
    verdict_leave_view(call);
    if (error == 0 && exec->depth) {
        collect_names(exec);
        error = make_argv(call, exec, call->arg[args_after(call)], &argv_size);
    }
    if (error < 0)
        return verdict_answer(call, error);
    run_real(call, exec, argv_size);
}

/* A program without a name, a memfd or a removed file: the kernel runs it with the interpreter that it finds by
 * itself, which has to be the view's. */
static void execute_unnamed(struct call *call) {
    char link[PROC_LINK], name[PATH_MAX];
    struct elf_file file;
    struct script script;
    struct location *loc = &call->scratch->loc[1];
    common_end(call->session);
    descriptor_link(call->task->tid, call->scratch->given[0].fd, link);
    CLOSE_DESCRIPTOR fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || !elf_read(&file, fd))
        return;
    bool is_script = script_parse(file.head, &script) == 1;
    if (!is_script && elf_interpreter(&file, name) <= 0)
        return;
    int error = args_walk_path(call, is_script ? script.interpreter : name, WALK_PROGRAM, loc);
    if (error == 0 && loc->pass && !loc->hidden)
        return;
    error = error < 0 ? error : may_execute(call, loc);
    if (error < 0)
        return verdict_answer(call, error);
    verdict_refuse(call, EACCES, "a program without a name cannot be given the view's interpreter");
}

static void decide_execve(struct call *call) {
    struct target target;
    bool plain;
    call->task->executes_plain = false;
    call->task->executes = 0;
    int error = args_resolve(call, &target);
    if (error < 0)
        return target.pass ? (void)0 : verdict_answer(call, error);
    if (!target.by_fd && executed_find(call, target.loc, &plain))
        return executes(call, target.loc, plain);
    struct exec *exec = call->scratch->owned[0] = calloc(1, sizeof *exec);
    if (!exec)
        return verdict_answer(call, -ENOMEM);
    if (target.by_fd && (target.kind != OBJECT_NAMED || target.loc->detached))
        return execute_unnamed(call);
    set_given(call, exec);
    execute(call, exec, &target);
}

/* A build's programs, and a fake root's, are stopped when they begin. */
void do_execve(struct call *call) {
    decide_execve(call);
    if ((call->session->fixed || seen_wanted(call->session)) && call->verdict == VERDICT_PASS) {
        call->watch_exit = true;
        call->finish = verdict_keep;
    }
}

const char *exec_alone(struct call *call, bool *script) {
    const struct exec *exec = call->scratch->owned[0];
    *script = exec->depth > 0;
    return exec->alone ? exec->first : NULL;
}

/* ---- afterwards ---- */

/* The program is to see in AT_EXECFN what was asked for.  A failure leaves a path that works. */
void exec_done(struct call *call) {
    if (call->session->fixed)
        fixed_clock_program(call);
    const struct exec *exec = call->scratch ? call->scratch->owned[0] : NULL;
    if (seen_wanted(call->session))
        faked_started(call, exec && exec->narrow);
    if (!exec || !call->scratch->exec_patch)
        return;
    pid_t tid = call->task->tid;
    char *found = call->scratch->text;
    uint64_t address = proc_auxiliary(tid, AT_EXECFN, exec->narrow);
    if (address && memory_read_string(&MEMORY(tid), address, found, PATH_MAX) > 0 && strcmp(found, exec->path) == 0)
        (void)memory_write(&MEMORY(tid), address, exec->given, strlen(exec->given) + 1);
}
