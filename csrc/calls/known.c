/* known.c - calls that are many in one: the commands, options and requests that are passed.
 *
 * Rules: each list names what changes no file, no directory and no meaning of a path, through whatever descriptor: what
 * changes something asks for a descriptor that is open for writing, which belongs to an upper or to the host.  What is
 * in no list is refused as an older kernel would refuse it, and what is new in the kernel is not in it before somebody
 * has looked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "known.h"

/* Not in all headers: include/uapi/linux of Linux 6.18. */
#define GET_ENCRYPTION_NONCE 0x8010661bu    /* fscrypt.h */
#define READ_VERITY_METADATA 0xc0286687u    /* fsverity.h */
#define GETFSUUID 0x80111500u               /* fs.h */
#define GETFSSYSFSPATH 0x80811501u
#define GETLBMD_CAP 0xc0181502u
#define SCAN_PAGEMAP 0xc0606610u
#define QUERY_PROCMAP 0xc0686611u
#define EXT4_GETVERSION 0x80086603u         /* fs/ext4/ext4.h */
#define EXT4_GETVERSION_32 0x80046603u
#define EXT4_GETSTATE 0x40046629u
#define EXT4_GET_ES_CACHE 0xc020662au
#define EXT4_GETFSUUID 0x8008662cu
#define XFS_GETBMAP 0xc0205826u             /* fs/xfs/libxfs/xfs_fs.h */
#define XFS_DIOINFO 0x800c581eu
#define XFS_FSGEOMETRY 0x8100587eu
#define XFS_FSGEOMETRY_V4 0x8070587cu
#define XFS_FSGEOMETRY_V1 0x80705864u
#define XFS_FSCOUNTS 0x80205871u
#define XFS_RESVSP 0x40305828u /* these four want a descriptor for writing: fs/ioctl.c, ioctl_preallocate() */
#define XFS_UNRESVSP 0x40305829u
#define XFS_RESVSP64 0x4030582au
#define XFS_UNRESVSP64 0x4030582bu
#define XFS_ZERO_RANGE 0x40305839u
#define FAT_GET_ATTRIBUTES 0x80047210u /* linux/msdos_fs.h */
#define FAT_GET_VOLUME_ID 0x80047213u

static const uint32_t requests[] = {
    FICLONE, /* into a descriptor for writing, as the next */
    FICLONERANGE,
    FS_IOC_FIEMAP,
    FIGETBSZ,
    FIBMAP,
    FS_IOC_GETVERSION,
    FS_IOC32_GETVERSION,
    FS_IOC_GETFSLABEL,
    FS_IOC_GET_ENCRYPTION_POLICY,
    FS_IOC_GET_ENCRYPTION_POLICY_EX,
    FS_IOC_GET_ENCRYPTION_KEY_STATUS,
    GET_ENCRYPTION_NONCE,
    FS_IOC_MEASURE_VERITY,
    READ_VERITY_METADATA,
    GETFSUUID,
    GETFSSYSFSPATH,
    GETLBMD_CAP,
    SCAN_PAGEMAP,
    QUERY_PROCMAP,
    EXT4_GETVERSION,
    EXT4_GETVERSION_32,
    EXT4_GETSTATE,
    EXT4_GET_ES_CACHE,
    EXT4_GETFSUUID,
    BTRFS_IOC_SCAN_DEV, /* of /dev/btrfs-control, as the next two */
    BTRFS_IOC_FORGET_DEV,
    BTRFS_IOC_DEVICES_READY,
    BTRFS_IOC_FS_INFO,
    BTRFS_IOC_DEV_INFO,
    BTRFS_IOC_TREE_SEARCH,
    BTRFS_IOC_TREE_SEARCH_V2,
    BTRFS_IOC_INO_LOOKUP,
    BTRFS_IOC_INO_LOOKUP_USER,
    BTRFS_IOC_INO_PATHS,
    BTRFS_IOC_LOGICAL_INO,
    BTRFS_IOC_LOGICAL_INO_V2,
    BTRFS_IOC_SUBVOL_GETFLAGS,
    BTRFS_IOC_GET_SUBVOL_INFO,
    BTRFS_IOC_GET_SUBVOL_ROOTREF,
    BTRFS_IOC_SPACE_INFO,
    BTRFS_IOC_GET_FEATURES,
    BTRFS_IOC_GET_SUPPORTED_FEATURES,
    BTRFS_IOC_SYNC,
    XFS_GETBMAP,
    XFS_DIOINFO,
    XFS_FSGEOMETRY,
    XFS_FSGEOMETRY_V4,
    XFS_FSGEOMETRY_V1,
    XFS_FSCOUNTS,
    XFS_RESVSP,
    XFS_UNRESVSP,
    XFS_RESVSP64,
    XFS_UNRESVSP64,
    XFS_ZERO_RANGE,
    FAT_GET_ATTRIBUTES,
    FAT_GET_VOLUME_ID,
};

const uint32_t known_to_grow[] = {FICLONE, FICLONERANGE, XFS_RESVSP, XFS_RESVSP64, XFS_ZERO_RANGE, 0};

/* Documentation/userspace-api/ioctl/ioctl-number.rst: types that no file system has.  Those of whom there are many
 * calls: terminals and what all descriptors know (FIONREAD …), sockets, graphics, KVM, input, sound, video, frame
 * buffers and their like, hidraw, perf. */
static const uint8_t device_types[] = {'T', 0x89, 'd', 0xae, 'E', 'A', 'U', 'V', 'F', 'H', '$'};
const struct known_values known_requests = {requests, sizeof requests / sizeof *requests, device_types,
                                            sizeof device_types};

/* ext4 and VFS, versions, FAT, XFS, btrfs, F2FS, nilfs2, ceph, CIFS, bcachefs. */
bool known_is_of_files(uint32_t request) {
    static const uint8_t types[] = {'f', 'v', 'r', 'X', 0x94, 0xf5, 'n', 0x97, 0xcf, 0xbc};
    for (size_t i = 0; i < sizeof types; i++)
        if ((request >> 8 & 0xff) == types[i])
            return true;
    return false;
}

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif
#define F_CREATED_QUERY_ 1028
#define F_GETOWNER_UIDS_ 17
#define F_GET_WRITE_HINT 1035 /* F_SET_RW_HINT changes a lower's inode, if only in memory */
#define F_GET_FILE_WRITE_HINT 1037
#define F_SET_FILE_WRITE_HINT 1038

static const uint32_t commands[] = {
    F_GETFL,          F_SETFL,     F_GETFD,     F_SETFD,          F_DUPFD_CLOEXEC,       F_SETLK,
    F_SETLKW,         F_GETLK,     F_DUPFD,     F_OFD_SETLK,      F_OFD_SETLKW,          F_OFD_GETLK,
    F_SETOWN,         F_GETOWN,    F_SETSIG,    F_GETSIG,         F_SETOWN_EX,           F_GETOWN_EX,
    F_GETOWNER_UIDS_, F_GETLEASE,  F_NOTIFY,    F_DUPFD_QUERY,    F_CREATED_QUERY_,      F_SETPIPE_SZ,
    F_GETPIPE_SZ,     F_ADD_SEALS, F_GET_SEALS, F_GET_WRITE_HINT, F_GET_FILE_WRITE_HINT, F_SET_FILE_WRITE_HINT,
};
const struct known_values known_commands = {commands, sizeof commands / sizeof *commands, NULL, 0};

/* Linux 6.18's, but for those that do_prctl() answers. */
static const uint32_t options[] = {
    PR_SET_NAME,
    PR_GET_NAME,
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_SET_VMA,
    PR_CAPBSET_READ,
    PR_SET_KEEPCAPS,
    PR_GET_KEEPCAPS,
    PR_GET_SECUREBITS,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_GET_SECCOMP,
    PR_SET_CHILD_SUBREAPER,
    PR_GET_CHILD_SUBREAPER,
    PR_SET_TIMERSLACK,
    PR_GET_TIMERSLACK,
    PR_SET_PTRACER,
    PR_SET_THP_DISABLE,
    PR_GET_THP_DISABLE,
    PR_SET_MM,
    PR_GET_TID_ADDRESS,
    PR_SET_UNALIGN,
    PR_GET_UNALIGN,
    PR_SET_FPEMU,
    PR_GET_FPEMU,
    PR_SET_FPEXC,
    PR_GET_FPEXC,
    PR_SET_TIMING,
    PR_GET_TIMING,
    PR_SET_ENDIAN,
    PR_GET_ENDIAN,
    PR_SET_TSC,
    PR_GET_TSC,
    PR_TASK_PERF_EVENTS_DISABLE,
    PR_TASK_PERF_EVENTS_ENABLE,
    PR_MCE_KILL,
    PR_MCE_KILL_GET,
    PR_MPX_ENABLE_MANAGEMENT,
    PR_MPX_DISABLE_MANAGEMENT,
    PR_SET_FP_MODE,
    PR_GET_FP_MODE,
    PR_SVE_SET_VL,
    PR_SVE_GET_VL,
    PR_GET_SPECULATION_CTRL,
    PR_SET_SPECULATION_CTRL,
    PR_PAC_RESET_KEYS,
    PR_SET_TAGGED_ADDR_CTRL,
    PR_GET_TAGGED_ADDR_CTRL,
    PR_SET_IO_FLUSHER,
    PR_GET_IO_FLUSHER,
    PR_SET_SYSCALL_USER_DISPATCH,
    PR_PAC_SET_ENABLED_KEYS,
    PR_PAC_GET_ENABLED_KEYS,
    PR_SCHED_CORE,
    63, /* SME_SET_VL, SME_GET_VL, SET_MDWE, GET_MDWE, SET_MEMORY_MERGE, GET_MEMORY_MERGE */
    64,
    65,
    66,
    67,
    68,
    69, /* RISCV_V_SET_CONTROL, RISCV_V_GET_CONTROL, RISCV_SET_ICACHE_FLUSH_CTX, PPC_GET_DEXCR, PPC_SET_DEXCR */
    70,
    71,
    72,
    73,
    74, /* GET_SHADOW_STACK_STATUS, SET_SHADOW_STACK_STATUS, LOCK_SHADOW_STACK_STATUS, TIMER_CREATE_RESTORE_IDS,
         * FUTEX_HASH */
    75,
    76,
    77,
    78,
    0x41555856, /* GET_AUXV */
};
const struct known_values known_options = {options, sizeof options / sizeof *options, NULL, 0};

/* KEYCTL_GET_KEYRING_ID to KEYCTL_WATCH_KEY: all change keys alone. */
static const uint32_t key_operations[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                          17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
const struct known_values known_keys = {key_operations, sizeof key_operations / sizeof *key_operations, NULL, 0};

/* BPF_MAP_CREATE to BPF_PROG_STREAM_READ_BY_FD, but BPF_OBJ_PIN and BPF_OBJ_GET (6 and 7), which take a path. */
static const uint32_t bpf_commands[] = {0,  1,  2,  3,  4,  5,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                                        20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37};
const struct known_values known_bpf = {bpf_commands, sizeof bpf_commands / sizeof *bpf_commands, NULL, 0};

static const uint32_t families[] = {AF_UNIX};
const struct known_values known_families = {families, sizeof families / sizeof *families, NULL, 0};

bool known_holds(const struct known_values *known, uint32_t value) {
    for (size_t i = 0; i < known->n; i++)
        if (known->values[i] == value)
            return true;
    for (size_t i = 0; i < known->n_types; i++)
        if (known->types[i] == (value >> 8 & 0xff))
            return true;
    return false;
}
