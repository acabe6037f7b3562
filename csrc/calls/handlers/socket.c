/* socket.c - bind, connect, sendto with AF_UNIX paths, and the calls that tell such a name.
 *
 * Rules: only a path matters: to connect, unnamed and abstract sockets and all other families are passed at once.  A
 * socket is bound by the supervisor, whatever its address is: both may be others by the time that the kernel looks.
 * It is connected to by the tracee, whose credentials the peer sees.  A real path too long for an address goes
 * through a short name. unix(7), net/unix/af_unix.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../host/host.h"
#include "../host/keeps.h"
#include "../inputs.h"
#include "../programs/programs.h"
#include "../reach.h"
#include "../scratch.h"
#include "../session.h"
#include "../shown/sockets.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"
#include "socket.h"

#define PATH_SIZE sizeof((struct sockaddr_un *)0)->sun_path

/* Whether what was read into the scratch's `asked` is an address with a path, which gets its length. */
static bool has_path(struct call *call) {
    struct address *asked = &call->scratch->asked;
    if (asked->un.sun_family != AF_UNIX || !asked->un.sun_path[0])
        return false;
    size_t path = strnlen(asked->un.sun_path, PATH_SIZE);
    asked->length = (socklen_t)(ADDRESS_PATH_AT + path + 1);
    return true;
}

static bool may_have_path(int size) {
    return size > (int)ADDRESS_PATH_AT && size <= (int)sizeof(struct sockaddr_un);
}

/* An address with a path, into the scratch's `asked`: 1; 0: another kind, which is the kernel's business; -EFAULT. */
static int read_address(struct call *call, uint64_t at, uint64_t length) {
    struct address *asked = &call->scratch->asked;
    int size = (int)length;
    if (!may_have_path(size))
        return 0;
    memset(asked, 0, sizeof *asked);
    int error = memory_read(&call->memory, at, &asked->un, (size_t)size);
    return error < 0 ? error : has_path(call);
}

static int set_address(struct address *address, const char *path) {
    size_t length = strlen(path);
    if (length >= PATH_SIZE)
        return -ENAMETOOLONG;
    memset(&address->un, 0, sizeof address->un);
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, path, length);
    address->length = (socklen_t)(ADDRESS_PATH_AT + length + 1);
    return 0;
}

/* The path that read_address() found, walked from the tracee's current directory. */
static int walk_address(struct call *call, unsigned flags) {
    char path[PATH_SIZE + 1];
    memcpy(path, call->scratch->asked.un.sun_path, PATH_SIZE);
    path[PATH_SIZE] = '\0';
    struct location *loc = &call->scratch->loc[0];
    loc->pass = loc->hidden = false;
    int error = args_walk_path(call, path, flags, loc);
    if (error == 0)
        call->trace_path = loc->path;
    return error;
}

/* ---- connecting ---- */

static int shorten(struct call *call, const char *path, char name[SHORT_NAME]) {
    struct call_scratch *scratch = call->scratch;
    bool far = reach_is_far(path);
    int number = far ? programs_reach(call->session, path, &scratch->reach, scratch->reached) : 0;
    if (number == 0)
        number = programs_shorten(call->session, far ? scratch->reached : path, name);
    if (number < 0)
        return number;
    scratch->short_name = number;
    return 0;
}

/* path, or a short name of it, as an address. */
static int reachable_address(struct call *call, const char *path) {
    char name[SHORT_NAME];
    struct address *address = &call->scratch->address;
    if (set_address(address, path) == 0)
        return 0;
    int error = shorten(call, path, name);
    return error < 0 ? error : set_address(address, name);
}

/* A socket that CMD itself has made is no input. */
static void note_peer(struct call *call, int error, const struct location *loc) {
    if (!error && loc->type == S_IFSOCK && !loc->upper)
        inputs_socket(call, loc->path);
    else if (!error)
        inputs_note(call, PTO_INPUT_LOOKED, loc);
}

static void note_elsewhere(struct call *call) {
    if (!task_cred(call))
        return;
    verdict_enter_view(call);
    inputs_socket(call, "");
    verdict_leave_view(call);
}

/* Of another family than AF_UNIX, in a run that is recorded. */
void do_socket(struct call *call) {
    if (call->session->inputs)
        note_elsewhere(call);
}

int socket_peer(struct call *call, uint64_t at, uint64_t length) {
    int error = read_address(call, at, length);
    if (error == 0 && call->session->inputs && call->scratch->asked.un.sun_family == AF_UNIX)
        note_elsewhere(call);
    if (error <= 0)
        return error;
    if (!task_cred(call))
        return -EPERM;
    verdict_enter_view(call);
    struct location *loc = &call->scratch->loc[0];
    error = walk_address(call, WALK_FOLLOW);
    if (call->session->inputs)
        note_peer(call, error, loc);
    if (loc->pass && !loc->hidden)
        return 0;
    if (error == 0 && (loc->hidden || loc->type == 0))
        error = -ENOENT;
    if (error == 0 && loc->overlay)
        error = view_permission(call->view, loc, &call->task->cred, W_OK);
    if (error == 0 && loc->type != S_IFSOCK)
        error = -ECONNREFUSED;
    if (error == 0)
        error = view_real(call->view, loc, call->scratch->real, VIEW_PATH_MAX);
    if (error == 0)
        error = reachable_address(call, call->scratch->real);
    return error < 0 ? error : 1;
}

static void use_address(struct call *call, unsigned arg) {
    const struct address *address = &call->scratch->address;
    verdict_substitute_bytes(call, arg, &address->un, address->length);
    verdict_substitute(call, arg + 1, address->length);
}

static void to_peer(struct call *call, unsigned arg) {
    int error = socket_peer(call, call->arg[arg], call->arg[arg + 1]);
    if (error < 0)
        verdict_answer(call, error);
    else if (error > 0)
        use_address(call, arg);
}

void do_connect(struct call *call) {
    to_peer(call, 1);
}

void do_sendto(struct call *call) {
    to_peer(call, 4);
}

/* ---- binding ---- */

/* An address at which real can be made: of its directory's short name, if real is too long. */
static int bindable_address(struct call *call, char *real) {
    char name[SHORT_NAME], path[SHORT_NAME + NAME_MAX + 2];
    struct address *address = &call->scratch->address;
    if (set_address(address, real) == 0)
        return 0;
    char *slash = strrchr(real, '/');
    *slash = '\0';
    int error = shorten(call, real, name);
    *slash = '/';
    if (error < 0)
        return error;
    snprintf(path, sizeof path, "%s%s", name, slash);
    return set_address(address, path);
}

/* The socket file exists: what of it is the tracee's, and what it is called. */
static int bound(struct call *call, mode_t mode) {
    struct call_scratch *scratch = call->scratch;
    struct stat st;
    mode_t wanted = mode & ~call->task->cred.umask;
    if (lstat(scratch->real, &st) < 0 || ((st.st_mode & 07777) != wanted && chmod(scratch->real, wanted) < 0))
        return -errno;
    int error = view_bind_done(call->view, &scratch->loc[0], scratch->real, &call->task->cred);
    return error < 0 ? error : sockets_record(&scratch->address, &scratch->asked);
}

static int bind_real(struct call *call, int fd) {
    struct stat st;
    const struct address *address = &call->scratch->address;
    if (fstat(fd, &st) < 0 || bind(fd, (const struct sockaddr *)&address->un, address->length) < 0)
        return -errno;
    return bound(call, st.st_mode & 07777);
}

static long tracee_bound(struct call *call, long result) {
    if (result < 0)
        return result;
    verdict_enter_view(call);
    int error = bound(call, 0777);
    return error < 0 ? error : result;
}

/* pidfd_getfd(2) is refused here: the tracee binds it, to an address of ours, alone, or where the kernel guards it. */
static void bind_itself(struct call *call, finish_fn *finish) {
    call->finish = finish;
    call->alone = true;
    use_address(call, 1);
}

static void bind_overlay(struct call *call, int fd) {
    int error = view_bind(call->view, &call->scratch->loc[0], &call->task->cred, call->scratch->real);
    if (error == 0)
        error = bindable_address(call, call->scratch->real);
    if (error < 0)
        return verdict_answer(call, error == -EEXIST ? -EADDRINUSE : error);
    if (fd >= 0)
        return verdict_answer(call, bind_real(call, fd));
    verdict_writes(call);
    bind_itself(call, tracee_bound);
}

static long host_bound(struct call *call, long result) {
    if (result == 0)
        (void)sockets_record(&call->scratch->address, &call->scratch->asked);
    return result;
}

/* An address that the kernel follows symlinks in: no tracee makes one meanwhile, nor moves a directory. */
static void bind_host(struct call *call, int fd) {
    const struct address *address = &call->scratch->address;
    struct location *loc = &call->scratch->loc[0];
    if (loc->type == 0 && host_keeps(call, loc, true))
        return;
    HOST_NAMES_STAY;
    int error = host_hold_name(call, 0, loc);
    if (error == 0)
        error = bindable_address(call, loc->path);
    if (error < 0)
        return verdict_answer(call, error);
    if (fd < 0)
        return bind_itself(call, host_bound);
    verdict_answer(call, host_bound(call, host_bind(call, fd, (const struct sockaddr *)&address->un, address->length)));
}

static void bind_path(struct call *call, int fd) {
    if (!task_cred_umask(call))
        return;
    verdict_enter_view(call);
    struct location *loc = &call->scratch->loc[0];
    int error = walk_address(call, WALK_PARENT);
    if (error < 0)
        return verdict_answer(call, error);
    if (loc->hidden)
        return verdict_answer(call, -EACCES);
    if (loc->overlay)
        bind_overlay(call, fd);
    else
        bind_host(call, fd);
}

static bool is_unix(int fd) {
    int domain;
    socklen_t size = sizeof domain;
    return fd < 0 || (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX);
}

/* fd: ours, -1: there is none. */
static void bind_to(struct call *call, int fd, const struct sockaddr_storage *name, int size) {
    memset(&call->scratch->asked, 0, sizeof call->scratch->asked);
    if (may_have_path(size))
        memcpy(&call->scratch->asked.un, name, (size_t)size);
    if (may_have_path(size) && is_unix(fd) && has_path(call))
        return bind_path(call, fd);
    if (fd >= 0)
        return verdict_answer(call, host_bind(call, fd, (const struct sockaddr *)name, (socklen_t)size));
    memcpy(call->scratch->text, name, (size_t)size);
    verdict_substitute_bytes(call, 1, call->scratch->text, (size_t)size);
    call->alone = true;
}

/* The trap has brought it.  A change that had to let go of the view is made anew. */
static long bind_brought(struct call *call, long result) {
    struct sockaddr_storage name;
    memcpy(&name, call->scratch->text, sizeof name);
    if (result == -EBADF)
        return result;
    if (result < 0)
        verdict_refuse(call, EPERM, "the socket cannot be had from the task");
    else
        do
            bind_to(call, call->brought, &name, call->scratch->size);
        while (call->value == -VIEW_AGAIN);
    return call->value;
}

/* Where pidfd_getfd(2) is refused, by the trap that can see to it.  One that has filters of its own might be killed for
 * it, and is let bind by itself if the kernel guards what it makes. */
static void want_socket(struct call *call, const struct sockaddr_storage *name, int size) {
    if (task_filtered(call))
        return verdict_refuse(call, EPERM, "a task with seccomp filters of its own cannot hand its socket over");
    memcpy(call->scratch->text, name, sizeof *name);
    call->scratch->size = size;
    call->wants = (int)call->arg[0];
    call->verdict = VERDICT_SUBSTITUTE;
    call->finish = bind_brought;
}

void do_bind(struct call *call) {
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    int size = (int)call->arg[2];
    CLOSE_DESCRIPTOR fd = task_descriptor(call, (int)call->arg[0]);
    if (fd == -EBADF)
        return verdict_answer(call, fd);
    if (size < 0 || size > (int)sizeof name)
        return verdict_answer(call, -EINVAL);
    int error = memory_read(&call->memory, call->arg[1], &name, (size_t)size);
    if (error < 0)
        return verdict_answer(call, error);
    if (fd < 0 && call->session->opens && !(call->session->guarded && task_filtered(call)))
        return want_socket(call, &name, size);
    bind_to(call, fd, &name, size);
}

/* ---- names that are told ---- */

int socket_tell(struct call *call, uint64_t at, uint64_t length_at, int size, const struct address *address) {
    int length = (int)address->length;
    int error = memory_write(&call->memory, at, &address->un, (size_t)(size < length ? size : length));
    return error < 0 ? error : memory_write(&call->memory, length_at, &length, sizeof length);
}

/* The name of our descriptor fd that the tracee is to be told; false: the kernel's is right. */
static bool told_name(int fd, bool of_peer, struct address *asked) {
    struct address name = {.length = sizeof name.un};
    struct sockaddr *un = (struct sockaddr *)&name.un;
    if ((of_peer ? getpeername(fd, un, &name.length) : getsockname(fd, un, &name.length)) < 0)
        return false;
    return name.un.sun_family == AF_UNIX && name.length <= sizeof name.un && sockets_find(&name, asked);
}

/* The kernel has told a name, at `at`: of a socket of the view it becomes what the tracee asked for. */
static void retell(struct call *call, uint64_t at, uint64_t length_at) {
    struct address name, asked;
    int length = 0;
    if (memory_read(&call->memory, length_at, &length, sizeof length) < 0 || length <= (int)ADDRESS_PATH_AT ||
        length > call->scratch->size || length > (int)sizeof name.un)
        return;
    name.length = (socklen_t)length;
    if (memory_read(&call->memory, at, &name.un, name.length) == 0 && name.un.sun_family == AF_UNIX &&
        sockets_find(&name, &asked))
        (void)socket_tell(call, at, length_at, call->scratch->size, &asked);
}

static long sender_told(struct call *call, long result) {
    if (result >= 0)
        retell(call, call->arg[4], call->arg[5]);
    return result;
}

static long name_told(struct call *call, long result) {
    if (result >= 0)
        retell(call, call->arg[1], call->arg[2]);
    return result;
}

static long accepted(struct call *call, long result) {
    struct address asked;
    if (result < 0)
        return result;
    CLOSE_DESCRIPTOR fd = task_descriptor(call, (int)result);
    if (fd < 0)
        return name_told(call, result);
    if (told_name(fd, true, &asked))
        (void)socket_tell(call, call->arg[1], call->arg[2], call->scratch->size, &asked);
    return result;
}

static void watch_name(struct call *call, unsigned length_arg, finish_fn *finish) {
    int *size = &call->scratch->size;
    if (!sockets_any() || memory_read(&call->memory, call->arg[length_arg], size, sizeof *size) < 0 || *size < 0)
        return;
    call->watch_exit = true;
    call->finish = finish;
}

/* getsockname and getpeername */
void do_socket_name(struct call *call) {
    struct address asked;
    int size;
    if (!sockets_any())
        return;
    CLOSE_DESCRIPTOR fd = task_descriptor(call, (int)call->arg[0]);
    if (fd < 0 && fd != -EBADF)
        return watch_name(call, 2, name_told);   /* pidfd_getfd(2) is refused here */
    if (fd < 0 || !told_name(fd, call->row->detail == NAME_OF_PEER, &asked))
        return;
    int error = memory_read(&call->memory, call->arg[2], &size, sizeof size);
    if (error == 0)
        error = size < 0 ? -EINVAL : socket_tell(call, call->arg[1], call->arg[2], size, &asked);
    verdict_answer(call, error);
}

void do_accept(struct call *call) {
    watch_name(call, 2, accepted);
}

void do_recvfrom(struct call *call) {
    watch_name(call, 5, sender_told);
}
