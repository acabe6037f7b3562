/* request.c - the calls that the stub may answer, each in the form that has all that any of them has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

int request_of(const struct frame *frame, struct request *request) {
    const word *arg = frame->arg;
    word nr = (uint32_t)frame->nr;
    *request = (struct request){.nr = nr, .fd = (int)arg[0], .text = (const char *)arg[1]};
    switch (nr) {
#ifdef __NR_open   /* and the others that newer machines have in one form alone */
    case __NR_open:
        *request = (struct request){
            .nr = __NR_openat, .fd = AT_FDCWD, .text = (const char *)arg[0], .flags = arg[1], .mode = arg[2]};
        return 1;
    case __NR_stat:
        *request = (struct request){.nr = __NR_newfstatat, .fd = AT_FDCWD, .text = (const char *)arg[0], .out = arg[1]};
        return 1;
    case __NR_lstat:
        *request = (struct request){.nr = __NR_newfstatat,
                                    .fd = AT_FDCWD,
                                    .text = (const char *)arg[0],
                                    .out = arg[1],
                                    .flags = AT_SYMLINK_NOFOLLOW};
        return 1;
    case __NR_access:
        *request = (struct request){
            .nr = __NR_faccessat, .fd = AT_FDCWD, .text = (const char *)arg[0], .mode = (uint32_t)arg[1]};
        return 1;
    case __NR_readlink:
        *request = (struct request){
            .nr = __NR_readlinkat, .fd = AT_FDCWD, .text = (const char *)arg[0], .out = arg[1], .size = arg[2]};
        return 1;
#endif
    case __NR_execve:
        *request = (struct request){.nr = nr, .fd = AT_FDCWD, .text = (const char *)arg[0]};
        return 1;
    case __NR_openat:
        request->flags = arg[2];
        request->mode = arg[3];
        return 1;
    case __NR_fstat:
        *request = (struct request){.nr = nr, .fd = (int)arg[0], .out = arg[1]};
        return 1;
    case __NR_newfstatat:
        request->out = arg[2];
        request->flags = (uint32_t)arg[3];
        return 1;
    case __NR_statx:
        request->out = arg[4];
        request->flags = (uint32_t)arg[2];
        request->mode = (uint32_t)arg[3];
        return 1;
    case __NR_faccessat:
    case __NR_faccessat2:
        request->mode = (uint32_t)arg[2];
        request->flags = nr == __NR_faccessat2 ? (uint32_t)arg[3] : 0;
        return 1;
    case __NR_readlinkat:
        request->out = arg[2];
        request->size = arg[3];
        return 1;
    case __NR_getdents64:
        *request = (struct request){.nr = nr, .fd = (int)arg[0], .out = arg[1], .size = arg[2]};
        return 1;
    case __NR_rt_sigaction:
        request->out = arg[2];
        request->size = arg[3];
        return 1;
    case __NR_getcwd:
        *request = (struct request){.nr = nr, .fd = AT_FDCWD, .out = arg[0], .size = arg[1]};
        return 1;
    case __NR_getxattr:
    case __NR_lgetxattr:
        *request = (struct request){.nr = nr,
                                    .fd = AT_FDCWD,
                                    .text = (const char *)arg[0],
                                    .name = (const char *)arg[1],
                                    .out = arg[2],
                                    .size = arg[3]};
        return 1;
    case __NR_listxattr:
    case __NR_llistxattr:
        *request =
            (struct request){.nr = nr, .fd = AT_FDCWD, .text = (const char *)arg[0], .out = arg[1], .size = arg[2]};
        return 1;
    default:
        return 0;
    }
}
