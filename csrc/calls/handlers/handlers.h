/* handlers.h - the handlers, one a row of the table or several.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_HANDLERS_H
#define PTOVERLAY_HANDLERS_H

#include "../table.h"

handler_fn do_open, do_openat2;
handler_fn do_stat, do_statx, do_access;
handler_fn do_chmod, do_chown, do_truncate, do_utime, do_utimes, do_utimensat, do_ioctl, do_file_getattr,
    do_file_setattr;
handler_fn do_mkdir, do_mknod, do_unlink, do_rename, do_link, do_symlink, do_readlink;
handler_fn do_getxattr, do_listxattr, do_setxattr, do_removexattr;
handler_fn do_getxattrat, do_listxattrat, do_setxattrat, do_removexattrat;
handler_fn do_getdents, do_chdir, do_fchdir, do_getcwd, do_chroot;
handler_fn do_execve;
handler_fn do_bind, do_connect, do_socket, do_sendto, do_sendmsg, do_sendmmsg, do_socket_name, do_accept, do_recvfrom,
    do_recvmsg, do_recvmmsg;
handler_fn do_sync;
handler_fn do_name_to_handle_at, do_open_by_handle_at;
handler_fn do_write, do_pwrite, do_writev, do_pwritev, do_sendfile, do_move, do_ftruncate, do_fallocate,
    do_grow_request;
handler_fn do_statfs, do_inotify_add_watch, do_inotify_rm_watch, do_fanotify_mark;
handler_fn do_umask, do_set_credentials, do_prctl, do_seccomp, do_rlimit, do_nest;
handler_fn do_refuse, do_unknown, do_fcntl, do_fanotify_init, do_pidfd_getfd;
handler_fn do_clock_gettime, do_gettimeofday, do_time, do_times, do_sleep, do_futex, do_poll, do_wait, do_select;
handler_fn do_getrandom, do_uname, do_sysinfo, do_sched_getaffinity, do_getcpu;
handler_fn do_fork, do_born, do_clone, do_unshare, do_setns, do_mount, do_umount, do_pivot_root;
/* What unshare(2) may be asked for. */
#define UNSHARE_KNOWN                                                                                                  \
    (CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWCGROUP |              \
     CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

#endif
