/* xattr.c - the twelve calls on extended attributes and their four *at forms.
 *
 * Rules: names and values are read before the view is entered and written after it is left; sizes are
 * the tracee's, so they are cut to what xattr(7) allows before anything is made of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../host/host.h"
#include "../host/keeps.h"
#include "../scratch.h"
#include "../settle.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

/* Where the arguments behind path or descriptor are, and what they say. */
struct value {
    uint64_t address;
    size_t size;
    int flags;
};

/* struct xattr_args of Linux 6.13, include/uapi/linux/xattr.h */
struct value_arguments {
    uint64_t value;
    uint32_t size;
    uint32_t flags;
};

static struct value plain_value(const struct call *call) {
    unsigned at = args_after(call) + 1;
    return (struct value){call->arg[at], call->arg[at + 1], at + 2 < 6 ? (int)call->arg[at + 2] : 0};
}

/* copy_struct_from_user() of the last two arguments. */
static int at_value(struct call *call, struct value *value) {
    struct value_arguments arguments;
    if (call->arg[5] < sizeof arguments)
        return -EINVAL;
    int error = memory_read_struct(&call->memory, call->arg[4], call->arg[5], &arguments, sizeof arguments);
    *value = (struct value){arguments.value, arguments.size, (int)arguments.flags};
    return error;
}

static int read_name(struct call *call, unsigned arg, char name[XATTR_NAME_MAX + 1]) {
    ssize_t length = memory_read_string(&call->memory, call->arg[arg], name, XATTR_NAME_MAX + 1);
    if (length == 0 || length == -ENAMETOOLONG)
        return -ERANGE;
    return length < 0 ? (int)length : 0;
}

/* Of the object without a name that the call's descriptor leads to: a location of its overlay; NULL: of none. */
static const struct location *unnamed(struct call *call) {
    const struct given *given = &call->scratch->given[0];
    struct location *loc = &call->scratch->spare;
    if (!given->by_fd || given->kind == OBJECT_ANONYMOUS || view_locate(call->view, given->real, loc) < 0)
        return NULL;
    return loc->overlay && (loc->detached || given->kind == OBJECT_DELETED) ? loc : NULL;
}

/* settle_reading() gave nothing: is such an object asked, whose private attributes are not to be seen? */
static const struct location *asks_unnamed(struct call *call, char link[PROC_LINK]) {
    const struct location *loc = call->verdict == VERDICT_PASS ? unnamed(call) : NULL;
    if (loc)
        descriptor_link(call->task->tid, call->scratch->given[0].fd, link);
    return loc && !settle_path_descriptor(call) ? loc : NULL;
}

static void get_unnamed(struct call *call, const char *name, const struct value *value) {
    char link[PROC_LINK], stored[XATTR_NAME_MAX + 1], buffer[XATTR_SIZE_MAX];
    const struct location *loc = asks_unnamed(call, link);
    if (!loc)
        return;
    size_t size = value->size < sizeof buffer ? value->size : sizeof buffer;
    long length = view_xattr_name(loc, name, stored);
    if (length == 0)
        length = host_getxattr(call, link, stored, buffer, size);
    if (length < 0)
        return verdict_answer(call, length);
    verdict_answer_bytes(call, value->address, buffer, size ? (size_t)length : 0, length);
}

static void list_unnamed(struct call *call, uint64_t address, size_t given) {
    char link[PROC_LINK], buffer[XATTR_LIST_MAX];
    const struct location *loc = asks_unnamed(call, link);
    if (!loc)
        return;
    long length = host_listxattr(call, link, buffer, sizeof buffer);
    if (length > 0)
        length = (long)view_xattr_names(loc, buffer, (size_t)length);
    if (length < 0 || (given && (size_t)length > given))
        return verdict_answer(call, length < 0 ? length : -ERANGE);
    verdict_answer_bytes(call, address, buffer, given ? (size_t)length : 0, length);
}

static void get(struct call *call, unsigned name_arg, const struct value *value) {
    char name[XATTR_NAME_MAX + 1], buffer[XATTR_SIZE_MAX];
    int error = read_name(call, name_arg, name);
    if (error < 0)
        return verdict_answer(call, error);
    struct location *loc = settle_reading(call);
    if (!loc)
        return get_unnamed(call, name, value);
    if (settle_path_descriptor(call))
        return;
    size_t size = value->size < sizeof buffer ? value->size : sizeof buffer;
    ssize_t length = view_getxattr(call->view, loc, name, buffer, size, &call->task->cred);
    if (length < 0)
        return verdict_answer(call, length);
    verdict_answer_bytes(call, value->address, buffer, size ? (size_t)length : 0, length);
}

static void list(struct call *call, uint64_t address, size_t given) {
    char buffer[XATTR_LIST_MAX];
    struct location *loc = settle_reading(call);
    if (!loc)
        return list_unnamed(call, address, given);
    if (settle_path_descriptor(call))
        return;
    size_t size = given < sizeof buffer ? given : sizeof buffer;
    ssize_t length = view_listxattr(call->view, loc, buffer, size, &call->task->cred);
    if (length < 0)
        return verdict_answer(call, length);
    verdict_answer_bytes(call, address, buffer, size ? (size_t)length : 0, length);
}

/* What the attribute is called on the host's object that is held. 0; -errno. */
static int stored_name(struct call *call, const char *name, char out[XATTR_NAME_MAX + 1]) {
    const struct location *loc = unnamed(call);
    if (loc)
        return view_xattr_name(loc, name, out);
    memcpy(out, name, strlen(name) + 1);
    return 0;
}

static void set(struct call *call, unsigned name_arg, const struct value *value) {
    char name[XATTR_NAME_MAX + 1], stored[XATTR_NAME_MAX + 1], buffer[XATTR_SIZE_MAX];
    if (value->flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return verdict_answer(call, -EINVAL);
    int error = read_name(call, name_arg, name);
    if (error == 0 && value->size > sizeof buffer)
        error = -E2BIG;
    if (error == 0 && value->size)
        error = memory_read(&call->memory, value->address, buffer, value->size);
    if (error < 0)
        return verdict_answer(call, error);
    call->scratch->attribute = name;
    call->scratch->value = buffer;
    call->scratch->value_size = value->size;
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if (host_held(call, 0)) {
        error = stored_name(call, name, stored);
        return verdict_answer(call, error ? error : host_setxattr(call, stored, buffer, value->size, value->flags));
    }
    if (!loc->read_only && keeps_no_capability(call->scratch))
        return verdict_answer(call, -EINVAL);
    verdict_answer(call, view_setxattr(call->view, loc, name, buffer, value->size, value->flags, &call->task->cred));
}

static void remove_name(struct call *call, unsigned name_arg) {
    char name[XATTR_NAME_MAX + 1], stored[XATTR_NAME_MAX + 1];
    int error = read_name(call, name_arg, name);
    if (error < 0)
        return verdict_answer(call, error);
    call->scratch->attribute = name;
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if (host_held(call, 0)) {
        error = stored_name(call, name, stored);
        return verdict_answer(call, error ? error : host_removexattr(call, stored));
    }
    verdict_answer(call, view_removexattr(call->view, loc, name, &call->task->cred));
}

void do_getxattr(struct call *call) {
    struct value value = plain_value(call);
    get(call, args_after(call), &value);
}

void do_listxattr(struct call *call) {
    unsigned at = args_after(call);
    list(call, call->arg[at], call->arg[at + 1]);
}

void do_setxattr(struct call *call) {
    struct value value = plain_value(call);
    set(call, args_after(call), &value);
}

void do_removexattr(struct call *call) {
    remove_name(call, args_after(call));
}

/* getxattrat(dirfd, path, at_flags, name, arguments, size), and so the others. */
void do_getxattrat(struct call *call) {
    struct value value;
    int error = at_value(call, &value);
    if (error < 0)
        return verdict_answer(call, error);
    if (value.flags)
        return verdict_answer(call, -EINVAL);
    get(call, 3, &value);
}

void do_listxattrat(struct call *call) {
    list(call, call->arg[3], call->arg[4]);
}

void do_setxattrat(struct call *call) {
    struct value value;
    int error = at_value(call, &value);
    if (error < 0)
        return verdict_answer(call, error);
    set(call, 3, &value);
}

void do_removexattrat(struct call *call) {
    remove_name(call, 3);
}
