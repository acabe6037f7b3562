/* numbers.h - numbers of system calls that the build machine's headers may lack.
 *
 * Newer ones have the same number on all architectures (scripts/syscall.tbl in Linux); the older ones named here do
 * not exist on architectures that were added after the *at calls, and are -1 there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NUMBERS_H
#define PTOVERLAY_NUMBERS_H

#include <asm/unistd.h>

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_getxattrat 464
#define __NR_listxattrat 465
#define __NR_removexattrat 466
#endif
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif
#ifndef __NR_listns
#define __NR_listns 470
#endif
#ifndef __NR_rseq_slice_yield
#define __NR_rseq_slice_yield 471
#endif

#ifndef __NR_open
#define __NR_open (-1)
#define __NR_creat (-1)
#define __NR_fork (-1)
#define __NR_vfork (-1)
#define __NR_time (-1)
#define __NR_poll (-1)
#define __NR_select (-1)
#define __NR_epoll_wait (-1)
#define __NR_stat (-1)
#define __NR_lstat (-1)
#define __NR_access (-1)
#define __NR_readlink (-1)
#define __NR_mkdir (-1)
#define __NR_mknod (-1)
#define __NR_unlink (-1)
#define __NR_rmdir (-1)
#define __NR_rename (-1)
#define __NR_link (-1)
#define __NR_symlink (-1)
#define __NR_chmod (-1)
#define __NR_chown (-1)
#define __NR_lchown (-1)
#define __NR_utime (-1)
#define __NR_utimes (-1)
#define __NR_futimesat (-1)
#define __NR_getdents (-1)
#define __NR_uselib (-1)
#endif
#ifndef __NR_renameat
#define __NR_renameat (-1)
#endif

#endif
