/* compat_table.c - what each call of i386 is on x86-64: by the numbers of asm/unistd_32.h, which a test compares.
 *
 * Rules: SAME names a call whose arguments and structures are those of the machine's own, but for pointers of 4 bytes
 * that handlers know of; FREE what takes no path, changes no file and no meaning of a path; who is in doubt writes
 * REFUSED.  Numbers that are missing here are refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "../arch/numbers.h"
#include "compat.h"

/* clang-format off */
#ifdef __x86_64__
#define SAME(nr, call) [nr] = {#call, __NR_##call, COMPAT_SAME}
#define AS(nr, call, own, how) [nr] = {#call, __NR_##own, COMPAT_##how}
#define FREE(nr, call) [nr] = {#call, -1, COMPAT_FREE}
#define REFUSED(nr, call) [nr] = {#call, -1, COMPAT_REFUSED}
#define SOCKETS(nr, call) [nr] = {#call, -1, COMPAT_SOCKETS}

const struct compat_call compat_calls[] = {
    SAME(0, restart_syscall), SAME(1, exit), SAME(2, fork), SAME(3, read), SAME(4, write), SAME(5, open),
    SAME(6, close), FREE(7, waitpid), SAME(8, creat), SAME(9, link), SAME(10, unlink), SAME(11, execve),
    SAME(12, chdir), SAME(13, time), SAME(14, mknod), SAME(15, chmod), AS(16, lchown, lchown, OWNER16),
    FREE(17, break), REFUSED(18, oldstat), SAME(19, lseek), SAME(20, getpid), SAME(21, mount),
    AS(22, umount, umount2, UMOUNT), AS(23, setuid, setuid, IDS16), SAME(24, getuid), FREE(25, stime),
    SAME(26, ptrace), SAME(27, alarm), REFUSED(28, oldfstat), SAME(29, pause), AS(30, utime, utime, TIMES32),
    FREE(31, stty), FREE(32, gtty), SAME(33, access), FREE(34, nice), FREE(35, ftime), SAME(36, sync), SAME(37, kill),
    SAME(38, rename), SAME(39, mkdir), SAME(40, rmdir), SAME(41, dup), SAME(42, pipe), SAME(43, times),
    FREE(44, prof), SAME(45, brk), AS(46, setgid, setgid, IDS16), SAME(47, getgid), FREE(48, signal),
    SAME(49, geteuid), SAME(50, getegid), SAME(51, acct), SAME(52, umount2), FREE(53, lock), SAME(54, ioctl),
    AS(55, fcntl, fcntl, FCNTL), FREE(56, mpx), SAME(57, setpgid), FREE(58, ulimit), FREE(59, oldolduname),
    SAME(60, umask), SAME(61, chroot), SAME(62, ustat), SAME(63, dup2), SAME(64, getppid), SAME(65, getpgrp),
    SAME(66, setsid), FREE(67, sigaction), FREE(68, sgetmask), FREE(69, ssetmask), AS(70, setreuid, setreuid, IDS16),
    AS(71, setregid, setregid, IDS16), FREE(72, sigsuspend), FREE(73, sigpending), SAME(74, sethostname),
    AS(75, setrlimit, setrlimit, LIMIT), AS(76, getrlimit, getrlimit, LIMIT_OLD), SAME(77, getrusage),
    SAME(78, gettimeofday), SAME(79, settimeofday), AS(80, getgroups, getgroups, LIST16),
    AS(81, setgroups, setgroups, LIST16), SAME(82, select), SAME(83, symlink), REFUSED(84, oldlstat),
    SAME(85, readlink), REFUSED(86, uselib), SAME(87, swapon), SAME(88, reboot), REFUSED(89, readdir), SAME(90, mmap),
    SAME(91, munmap), AS(92, truncate, truncate, SIGNED), AS(93, ftruncate, ftruncate, SIGNED), SAME(94, fchmod),
    AS(95, fchown, fchown, OWNER16), SAME(96, getpriority), SAME(97, setpriority), FREE(98, profil),
    AS(99, statfs, statfs, STATFS), AS(100, fstatfs, fstatfs, STATFS), SAME(101, ioperm), SOCKETS(102, socketcall),
    SAME(103, syslog), SAME(104, setitimer), SAME(105, getitimer), AS(106, stat, stat, STAT),
    AS(107, lstat, lstat, STAT), AS(108, fstat, fstat, STAT), FREE(109, olduname), SAME(110, iopl),
    SAME(111, vhangup), FREE(112, idle), FREE(113, vm86old), SAME(114, wait4), SAME(115, swapoff), SAME(116, sysinfo),
    FREE(117, ipc), SAME(118, fsync), FREE(119, sigreturn), SAME(120, clone), SAME(121, setdomainname),
    SAME(122, uname), SAME(123, modify_ldt), SAME(124, adjtimex), SAME(125, mprotect), FREE(126, sigprocmask),
    SAME(127, create_module), SAME(128, init_module), SAME(129, delete_module), SAME(130, get_kernel_syms),
    SAME(131, quotactl), SAME(132, getpgid), SAME(133, fchdir), FREE(134, bdflush), SAME(135, sysfs),
    SAME(136, personality), SAME(137, afs_syscall), AS(138, setfsuid, setfsuid, IDS16),
    AS(139, setfsgid, setfsgid, IDS16), FREE(140, _llseek), SAME(141, getdents), FREE(142, _newselect),
    SAME(143, flock), SAME(144, msync), SAME(145, readv), SAME(146, writev), SAME(147, getsid), SAME(148, fdatasync),
    SAME(149, _sysctl), SAME(150, mlock), SAME(151, munlock), SAME(152, mlockall), SAME(153, munlockall),
    SAME(154, sched_setparam), SAME(155, sched_getparam), SAME(156, sched_setscheduler),
    SAME(157, sched_getscheduler), SAME(158, sched_yield), SAME(159, sched_get_priority_max),
    SAME(160, sched_get_priority_min), SAME(161, sched_rr_get_interval), SAME(162, nanosleep), SAME(163, mremap),
    AS(164, setresuid, setresuid, IDS16), AS(165, getresuid, getresuid, LIST16), FREE(166, vm86),
    SAME(167, query_module), SAME(168, poll), SAME(169, nfsservctl), AS(170, setresgid, setresgid, IDS16),
    AS(171, getresgid, getresgid, LIST16), SAME(172, prctl), SAME(173, rt_sigreturn), SAME(174, rt_sigaction),
    SAME(175, rt_sigprocmask), SAME(176, rt_sigpending), SAME(177, rt_sigtimedwait), SAME(178, rt_sigqueueinfo),
    SAME(179, rt_sigsuspend), SAME(180, pread64), SAME(181, pwrite64), AS(182, chown, chown, OWNER16),
    SAME(183, getcwd), SAME(184, capget), SAME(185, capset), SAME(186, sigaltstack), SAME(187, sendfile),
    SAME(188, getpmsg), SAME(189, putpmsg), SAME(190, vfork), AS(191, ugetrlimit, getrlimit, LIMIT), FREE(192, mmap2),
    AS(193, truncate64, truncate, PAIR), AS(194, ftruncate64, ftruncate, PAIR), AS(195, stat64, stat, STAT64),
    AS(196, lstat64, lstat, STAT64), AS(197, fstat64, fstat, STAT64), AS(198, lchown32, lchown, SAME),
    AS(199, getuid32, getuid, SAME), AS(200, getgid32, getgid, SAME), AS(201, geteuid32, geteuid, SAME),
    AS(202, getegid32, getegid, SAME), AS(203, setreuid32, setreuid, SAME), AS(204, setregid32, setregid, SAME),
    AS(205, getgroups32, getgroups, SAME), AS(206, setgroups32, setgroups, SAME), AS(207, fchown32, fchown, SAME),
    AS(208, setresuid32, setresuid, SAME), AS(209, getresuid32, getresuid, SAME),
    AS(210, setresgid32, setresgid, SAME), AS(211, getresgid32, getresgid, SAME), AS(212, chown32, chown, SAME),
    AS(213, setuid32, setuid, SAME), AS(214, setgid32, setgid, SAME), AS(215, setfsuid32, setfsuid, SAME),
    AS(216, setfsgid32, setfsgid, SAME), SAME(217, pivot_root), SAME(218, mincore), SAME(219, madvise),
    SAME(220, getdents64), AS(221, fcntl64, fcntl, FCNTL), SAME(224, gettid), SAME(225, readahead),
    SAME(226, setxattr), SAME(227, lsetxattr), SAME(228, fsetxattr), SAME(229, getxattr), SAME(230, lgetxattr),
    SAME(231, fgetxattr), SAME(232, listxattr), SAME(233, llistxattr), SAME(234, flistxattr), SAME(235, removexattr),
    SAME(236, lremovexattr), SAME(237, fremovexattr), SAME(238, tkill), AS(239, sendfile64, sendfile, SAME),
    SAME(240, futex),
    SAME(241, sched_setaffinity), SAME(242, sched_getaffinity), SAME(243, set_thread_area),
    SAME(244, get_thread_area), SAME(245, io_setup), SAME(246, io_destroy), SAME(247, io_getevents),
    SAME(248, io_submit), SAME(249, io_cancel), SAME(250, fadvise64), SAME(252, exit_group),
    SAME(253, lookup_dcookie), SAME(254, epoll_create), SAME(255, epoll_ctl), SAME(256, epoll_wait),
    SAME(257, remap_file_pages), SAME(258, set_tid_address), SAME(259, timer_create), SAME(260, timer_settime),
    SAME(261, timer_gettime), SAME(262, timer_getoverrun), SAME(263, timer_delete), SAME(264, clock_settime),
    SAME(265, clock_gettime), SAME(266, clock_getres), SAME(267, clock_nanosleep),
    AS(268, statfs64, statfs, STATFS64), AS(269, fstatfs64, fstatfs, STATFS64), SAME(270, tgkill),
    AS(271, utimes, utimes, TIMES32), FREE(272, fadvise64_64), SAME(273, vserver), SAME(274, mbind),
    SAME(275, get_mempolicy), SAME(276, set_mempolicy), SAME(277, mq_open), SAME(278, mq_unlink),
    SAME(279, mq_timedsend), SAME(280, mq_timedreceive), SAME(281, mq_notify), SAME(282, mq_getsetattr),
    SAME(283, kexec_load), SAME(284, waitid), SAME(286, add_key), SAME(287, request_key), SAME(288, keyctl),
    SAME(289, ioprio_set), SAME(290, ioprio_get), SAME(291, inotify_init), SAME(292, inotify_add_watch),
    SAME(293, inotify_rm_watch), SAME(294, migrate_pages), SAME(295, openat), SAME(296, mkdirat), SAME(297, mknodat),
    SAME(298, fchownat), AS(299, futimesat, futimesat, TIMES32), AS(300, fstatat64, newfstatat, STAT64),
    SAME(301, unlinkat), SAME(302, renameat), SAME(303, linkat), SAME(304, symlinkat), SAME(305, readlinkat),
    SAME(306, fchmodat), SAME(307, faccessat), SAME(308, pselect6), SAME(309, ppoll), SAME(310, unshare),
    SAME(311, set_robust_list), SAME(312, get_robust_list), SAME(313, splice), SAME(314, sync_file_range),
    SAME(315, tee), SAME(316, vmsplice), SAME(317, move_pages), SAME(318, getcpu), SAME(319, epoll_pwait),
    AS(320, utimensat, utimensat, TIMES32), SAME(321, signalfd), SAME(322, timerfd_create), SAME(323, eventfd),
    SAME(324, fallocate), SAME(325, timerfd_settime), SAME(326, timerfd_gettime), SAME(327, signalfd4),
    SAME(328, eventfd2), SAME(329, epoll_create1), SAME(330, dup3), SAME(331, pipe2), SAME(332, inotify_init1),
    SAME(333, preadv), SAME(334, pwritev), SAME(335, rt_tgsigqueueinfo), SAME(336, perf_event_open),
    SAME(337, recvmmsg), SAME(338, fanotify_init), REFUSED(339, fanotify_mark), SAME(340, prlimit64),
    SAME(341, name_to_handle_at), SAME(342, open_by_handle_at), SAME(343, clock_adjtime), SAME(344, syncfs),
    SAME(345, sendmmsg), SAME(346, setns), SAME(347, process_vm_readv), SAME(348, process_vm_writev), SAME(349, kcmp),
    SAME(350, finit_module), SAME(351, sched_setattr), SAME(352, sched_getattr), SAME(353, renameat2),
    SAME(354, seccomp), SAME(355, getrandom), SAME(356, memfd_create), SAME(357, bpf), SAME(358, execveat),
    SAME(359, socket), SAME(360, socketpair), SAME(361, bind), SAME(362, connect), SAME(363, listen),
    SAME(364, accept4), SAME(365, getsockopt), SAME(366, setsockopt), SAME(367, getsockname), SAME(368, getpeername),
    SAME(369, sendto), SAME(370, sendmsg), SAME(371, recvfrom), SAME(372, recvmsg), SAME(373, shutdown),
    SAME(374, userfaultfd), SAME(375, membarrier), SAME(376, mlock2), SAME(377, copy_file_range), SAME(378, preadv2),
    SAME(379, pwritev2), SAME(380, pkey_mprotect), SAME(381, pkey_alloc), SAME(382, pkey_free), SAME(383, statx),
    SAME(384, arch_prctl), SAME(385, io_pgetevents), SAME(386, rseq), SAME(393, semget), SAME(394, semctl),
    SAME(395, shmget), SAME(396, shmctl), SAME(397, shmat), SAME(398, shmdt), SAME(399, msgget), SAME(400, msgsnd),
    SAME(401, msgrcv), SAME(402, msgctl), FREE(403, clock_gettime64), FREE(404, clock_settime64),
    FREE(405, clock_adjtime64), FREE(406, clock_getres_time64), FREE(407, clock_nanosleep_time64),
    FREE(408, timer_gettime64), FREE(409, timer_settime64), FREE(410, timerfd_gettime64),
    FREE(411, timerfd_settime64), AS(412, utimensat_time64, utimensat, TIMES64), FREE(413, pselect6_time64),
    FREE(414, ppoll_time64), FREE(416, io_pgetevents_time64), AS(417, recvmmsg_time64, recvmmsg, SAME),
    FREE(418, mq_timedsend_time64), FREE(419, mq_timedreceive_time64), FREE(420, semtimedop_time64),
    FREE(421, rt_sigtimedwait_time64), FREE(422, futex_time64), FREE(423, sched_rr_get_interval_time64),
};
const int compat_calls_size = sizeof compat_calls / sizeof *compat_calls;
#else
const struct compat_call compat_calls[] = {{0}};
const int compat_calls_size = 0;
#endif
