#include "identity/exe.h"

#include "base/clock.h"
#include "base/limits.h"
#include "crypto/hash.h"
#include "identity/procfs.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef NS_GET_USERNS
#define NS_GET_USERNS 0xb701 /* ioctl_ns(2) */
#endif

#define CACHE_SLOTS 1024u
#define CACHE_WAYS 4u
#define SLOW_KEPT_MS 60000 /* how long "too slow" is remembered */
#define HASH_STEP 262144u  /* bytes between two looks at the clock */
/* Hashing that one uid may cause (root excepted): others' requests wait for it meanwhile. */
#define BUDGET_UIDS 64u
#define BUDGET_WINDOW_MS 10000
#define BUDGET_MS 3000

typedef struct {
    uint64_t dev;
    uint64_t ino;
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
} file_key;

typedef struct {
    file_key key;
    bool used;
    enum lh_exe_status status; /* OK or TOO_SLOW */
    int64_t expires_ms;        /* of TOO_SLOW */
    uint8_t sha256[32];
} cache_entry;

typedef struct {
    uid_t uid;
    int64_t since_ms;
    int64_t spent_ms;
} budget;

struct lh_exe_reader {
    lh_crypto *crypto;
    uint64_t user_ns; /* our own */
    bool in_chroot;   /* our root folder is not where its mount begins, so mountinfo leaves that mount out */
    lh_proc_mount chroot; /* that mount */
    unsigned next_way;
    cache_entry cache[CACHE_SLOTS];
    budget budgets[BUDGET_UIDS];
    uint8_t step[HASH_STEP];
};

lh_err lh_proc_file_error(int error, const char *name)
{
    if (error == ESRCH || error == ENOENT)
        return LH_FAIL(LH_E_GONE, "the process has exited (its %s is not there)", name);
    if (error == EACCES || error == EPERM)
        return LH_REFUSE(LH_E_ATTESTATION, "proc-unreadable",
            "no permission to read the process's %s: it belongs to another user or hides from its own", name);
    if (error == ENAMETOOLONG)
        return LH_REFUSE(
            LH_E_ATTESTATION, "path-too-long", "a path of the process is longer than the kernel shows");
    return LH_RAISE(LH_E_IO, error);
}

lh_err lh_proc_file_read(int folder, const char *name, lh_buf *out)
{
    LH_AUTO_FD fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return lh_proc_file_error(errno, name);
    for (;;) {
        char part[4096];
        ssize_t n = read(fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lh_proc_file_error(errno, name);
        if (n == 0)
            return lh_buf_status(out);
        lh_buf_append(out, part, (size_t)n);
        LH_TRY(lh_buf_status(out));
    }
}

/* The mount of our own root folder, from the folder itself. Whoever made it our root may keep us waiting. */
static lh_err read_root_mount(lh_proc_mount *ret)
{
    static const struct {
        long magic;
        const char *type;
    } types[] = {{BTRFS_SUPER_MAGIC, "btrfs"}, {EXT4_SUPER_MAGIC, "ext4"}, {F2FS_SUPER_MAGIC, "f2fs"},
        {OVERLAYFS_SUPER_MAGIC, "overlay"}, {RAMFS_MAGIC, "ramfs"}, {SQUASHFS_MAGIC, "squashfs"},
        {TMPFS_MAGIC, "tmpfs"}, {XFS_SUPER_MAGIC, "xfs"}};
    struct statx st;
    struct statfs fs;
    if (statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &st) != 0 || statfs("/", &fs) != 0)
        return LH_RAISE(LH_E_IO, errno);
    lh_proc_mount mount = {.id = (st.stx_mask & STATX_MNT_ID) ? st.stx_mnt_id : 0,
        .nosuid = (fs.f_flags & ST_NOSUID) != 0,
        .type = "unknown"};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if ((long)fs.f_type == types[i].magic)
            snprintf(mount.type, sizeof(mount.type), "%s", types[i].type);
    *ret = mount;
    return LH_SUCCESS;
}

static lh_err find_chroot(lh_exe_reader *reader)
{
    LH_TRY(read_root_mount(&reader->chroot));
    LH_AUTO(lh_buf_free) lh_buf own = LH_BUF_INIT(LH_LIMIT_MOUNTINFO);
    LH_TRY(lh_proc_file_read(AT_FDCWD, "/proc/self/mountinfo", &own));
    lh_proc_mount listed;
    reader->in_chroot =
        reader->chroot.id != 0 && !lh_ok(lh_proc_mount_find(lh_buf_bytes(&own), reader->chroot.id, &listed));
    return LH_SUCCESS;
}

lh_err lh_exe_reader_new(lh_crypto *c, lh_exe_reader **ret)
{
    struct stat ns;
    if (stat("/proc/self/ns/user", &ns) != 0)
        return LH_FAIL(LH_E_IO, "cannot read /proc/self/ns (errno %d): /proc must be mounted", errno);
    LH_AUTO(lh_exe_reader_freep) lh_exe_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    reader->crypto = c;
    reader->user_ns = ns.st_ino;
    LH_TRY(find_chroot(reader));
    *ret = LH_TAKE(reader);
    return LH_SUCCESS;
}

void lh_exe_reader_free(lh_exe_reader *reader)
{
    free(reader);
}

/* --- what file
 * ------------------------------------------------------------------------------------------------ */

static int64_t time_ns(struct statx_timestamp t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}

static uint64_t join_dev(uint32_t major_number, uint32_t minor_number)
{
    return (uint64_t)major_number << 32 | minor_number;
}

/* What the kernel has in memory: a FUSE server is not asked, so it cannot keep us waiting. */
static int stat_cached(int fd, struct statx *ret)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID, ret);
}

static file_key key_of(const struct statx *st)
{
    return (file_key){.dev = join_dev(st->stx_dev_major, st->stx_dev_minor),
        .ino = st->stx_ino,
        .size = st->stx_size,
        .mtime_ns = time_ns(st->stx_mtime),
        .ctime_ns = time_ns(st->stx_ctime)};
}

static bool key_equal(const file_key *a, const file_key *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

/* One of our own mounts. own: a mountinfo. */
static bool find_mount(const lh_exe_reader *reader, lh_bytes own, uint64_t id, lh_proc_mount *ret)
{
    if (lh_ok(lh_proc_mount_find(own, id, ret)))
        return true;
    if (!reader->in_chroot || id != reader->chroot.id)
        return false;
    *ret = reader->chroot;
    return true;
}

/* Whether the mount namespace of the process belongs to our user namespace: its mounts are then an
 * administrator's. */
static bool mount_ns_is_ours(const lh_exe_reader *reader, int proc)
{
    LH_AUTO_FD ns = openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return false;
    LH_AUTO_FD owner = ioctl(ns, NS_GET_USERNS);
    struct stat st;
    return owner >= 0 && fstat(owner, &st) == 0 && st.st_ino == reader->user_ns;
}

/* The mount that the executable lies on, found in our mounts (own: a mountinfo) or the process's. */
static enum lh_exe_status classify_mount(
    const lh_exe_reader *reader, int proc, uint64_t mount_id, lh_bytes own, uint32_t flags)
{
    lh_proc_mount mount;
    bool found = find_mount(reader, own, mount_id, &mount);
    if (!found && (flags & LH_IDENTITY_OTHER_MOUNT_NS) && mount_ns_is_ours(reader, proc)) {
        LH_AUTO(lh_buf_free) lh_buf theirs = LH_BUF_INIT(LH_LIMIT_MOUNTINFO);
        found = lh_ok(lh_proc_file_read(proc, "mountinfo", &theirs)) &&
                lh_ok(lh_proc_mount_find(lh_buf_bytes(&theirs), mount_id, &mount));
    }
    if (!found)
        return LH_EXE_MOUNT;
    return lh_proc_mount_is_local(&mount) ? LH_EXE_OK : LH_EXE_FILESYSTEM;
}

/* One step down from *at (replaced), staying on local file systems of our own mounts. false: no such step. */
static bool walk_step(const lh_exe_reader *reader, int *at, const char *name, lh_bytes mounts,
    uint64_t *mount_id, bool *trusted)
{
    int next = openat(*at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    lh_fd_close(*at);
    *at = next;
    struct statx st;
    if (next < 0 || stat_cached(next, &st) != 0 || S_ISLNK(st.stx_mode))
        return false;
    if (st.stx_mnt_id != *mount_id) {
        lh_proc_mount mount;
        if (!find_mount(reader, mounts, st.stx_mnt_id, &mount) || !lh_proc_mount_is_local(&mount))
            return false;
        /* What a user may have mounted (udisks) is always nosuid. */
        *trusted = *trusted && !mount.nosuid;
        *mount_id = st.stx_mnt_id;
    }
    *trusted = *trusted && st.stx_uid == 0 && (st.stx_mode & (S_IWGRP | S_IWOTH)) == 0;
    return true;
}

/* Look path up in our mount namespace, folder by folder, so that no step waits for a file system that is
 * served by somebody's program. Sets LH_IDENTITY_EXE_PATH_OURS and …_TRUSTED. */
static void check_path(
    const lh_exe_reader *reader, const char *path, const file_key *key, lh_bytes mounts, uint32_t *flags)
{
    if (path[0] != '/')
        return;
    char copy[LH_IDENTITY_PATH_SIZE];
    snprintf(copy, sizeof(copy), "%s", path + 1);
    uint64_t mount_id = 0;
    bool trusted = true;
    LH_AUTO_FD at = -1;
    if (!walk_step(reader, &at, "/", mounts, &mount_id, &trusted))
        return;
    char *rest = NULL;
    for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest))
        if (!walk_step(reader, &at, name, mounts, &mount_id, &trusted))
            return;
    struct statx st;
    if (stat_cached(at, &st) != 0)
        return;
    file_key found = key_of(&st);
    if (!key_equal(&found, key))
        return;
    *flags |= LH_IDENTITY_EXE_PATH_OURS | (trusted ? LH_IDENTITY_EXE_PATH_TRUSTED : 0);
}

/* --- digest
 * --------------------------------------------------------------------------------------------------- */

static size_t cache_row(const file_key *key)
{
    uint64_t h = (key->ino * UINT64_C(0x9e3779b97f4a7c15)) ^ (key->dev * UINT64_C(0xc2b2ae3d27d4eb4f));
    return (size_t)(h >> 32) % (CACHE_SLOTS / CACHE_WAYS) * CACHE_WAYS;
}

static const cache_entry *cache_find(const lh_exe_reader *reader, const file_key *key)
{
    size_t row = cache_row(key);
    for (size_t i = row; i < row + CACHE_WAYS; i++) {
        const cache_entry *entry = &reader->cache[i];
        if (entry->used && key_equal(&entry->key, key) &&
            (entry->status == LH_EXE_OK || entry->expires_ms > lh_clock_boot_ms()))
            return entry;
    }
    return NULL;
}

static void cache_put(
    lh_exe_reader *reader, const file_key *key, enum lh_exe_status status, const uint8_t sha256[32])
{
    cache_entry *entry = &reader->cache[cache_row(key) + reader->next_way++ % CACHE_WAYS];
    *entry = (cache_entry){
        .key = *key, .used = true, .status = status, .expires_ms = lh_clock_boot_ms() + SLOW_KEPT_MS};
    memcpy(entry->sha256, sha256, sizeof(entry->sha256));
}

/* The uid's budget for hashing; the one unused longest makes room. */
static budget *budget_of(lh_exe_reader *reader, uid_t uid)
{
    int64_t now = lh_clock_boot_ms();
    budget *oldest = &reader->budgets[0];
    for (size_t i = 0; i < BUDGET_UIDS; i++) {
        budget *b = &reader->budgets[i];
        if (b->uid == uid && b->since_ms != 0) {
            if (now - b->since_ms > BUDGET_WINDOW_MS)
                *b = (budget){uid, now, 0};
            return b;
        }
        if (b->since_ms < oldest->since_ms)
            oldest = b;
    }
    *oldest = (budget){uid, now, 0};
    return oldest;
}

/* ret: OK, TOO_SLOW or UNREADABLE. */
static lh_err hash_file(
    lh_exe_reader *reader, int fd, int64_t limit_ms, uint8_t sha256[32], enum lh_exe_status *ret)
{
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = NULL;
    LH_TRY(lh_sha256_ctx_new(reader->crypto, &ctx));
    int64_t deadline = lh_clock_boot_ms() + limit_ms;
    uint64_t total = 0;
    for (;;) {
        ssize_t n = read(fd, reader->step, sizeof(reader->step));
        if (n < 0 && errno == EINTR)
            continue;
        total += n > 0 ? (uint64_t)n : 0;
        if (n < 0 || total > LH_LIMIT_EXE_SIZE || lh_clock_boot_ms() > deadline) {
            *ret = n < 0 ? LH_EXE_UNREADABLE : LH_EXE_TOO_SLOW;
            return LH_SUCCESS;
        }
        if (n == 0)
            break;
        LH_TRY(lh_sha256_ctx_update(ctx, LH_BYTES(reader->step, (size_t)n)));
    }
    LH_TRY(lh_sha256_ctx_final(ctx, sha256));
    *ret = LH_EXE_OK;
    return LH_SUCCESS;
}

/* Opens and hashes; the file must be the one that key describes, before and after. */
static lh_err digest_file(lh_exe_reader *reader, int proc, const file_key *key, lh_identity *id)
{
    budget *b = id->uid == 0 ? NULL : budget_of(reader, id->uid);
    int64_t left = b ? BUDGET_MS - b->spent_ms : LH_LIMIT_EXE_HASH_MS;
    if (left <= 0) {
        id->exe_status = LH_EXE_TOO_SLOW; /* not remembered: the next window may have room */
        return LH_SUCCESS;
    }
    id->exe_status = LH_EXE_UNREADABLE;
    LH_AUTO_FD fd = openat(proc, "exe", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct statx st;
    if (fd < 0 || stat_cached(fd, &st) != 0 || !S_ISREG(st.stx_mode))
        return LH_SUCCESS;
    file_key before = key_of(&st);
    int64_t started = lh_clock_boot_ms();
    uint8_t sha256[32] = {0};
    enum lh_exe_status status = LH_EXE_UNREADABLE;
    LH_TRY(hash_file(reader, fd, left < LH_LIMIT_EXE_HASH_MS ? left : LH_LIMIT_EXE_HASH_MS, sha256, &status));
    if (b)
        b->spent_ms += lh_clock_boot_ms() - started + 1;
    if (stat_cached(fd, &st) != 0)
        return LH_SUCCESS;
    file_key after = key_of(&st);
    if (!key_equal(&before, key) || !key_equal(&after, key) || status == LH_EXE_UNREADABLE)
        return LH_SUCCESS;
    if (status == LH_EXE_OK)
        memcpy(id->exe_sha256, sha256, sizeof(sha256));
    id->exe_status = status;
    cache_put(reader, key, status, id->exe_sha256);
    return LH_SUCCESS;
}

static lh_err read_digest(lh_exe_reader *reader, int proc, const file_key *key, lh_identity *id)
{
    if (key->size > LH_LIMIT_EXE_SIZE) {
        id->exe_status = LH_EXE_TOO_LARGE;
        return LH_SUCCESS;
    }
    const cache_entry *cached = cache_find(reader, key);
    if (!cached)
        return digest_file(reader, proc, key, id);
    id->exe_status = cached->status;
    memcpy(id->exe_sha256, cached->sha256, sizeof(id->exe_sha256));
    return LH_SUCCESS;
}

static lh_err read_link(int proc, char *path, size_t size)
{
    ssize_t len = readlinkat(proc, "exe", path, size);
    if (len < 0)
        return lh_proc_file_error(errno, "exe");
    if ((size_t)len >= size)
        return LH_REFUSE(
            LH_E_ATTESTATION, "path-too-long", "the executable's path has more than %zu bytes", size - 1);
    path[len] = '\0';
    return LH_SUCCESS;
}

/* The digest of the Merkle tree by which the kernel checks every page of the file that is read; most files
 * have none. Only SHA-256's counts. Source: Linux Documentation/filesystems/fsverity.rst,
 * FS_IOC_MEASURE_VERITY. */
static void read_verity(int proc, const file_key *key, lh_identity *id)
{
    _Alignas(struct fsverity_digest) uint8_t space[sizeof(struct fsverity_digest) + 64];
    struct fsverity_digest *measured = (struct fsverity_digest *)space;
    measured->digest_size = 64;
    LH_AUTO_FD fd = openat(proc, "exe", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct statx st;
    if (fd < 0 || stat_cached(fd, &st) != 0)
        return;
    file_key opened = key_of(&st);
    if (!key_equal(&opened, key) || ioctl(fd, FS_IOC_MEASURE_VERITY, measured) != 0)
        return;
    if (measured->digest_algorithm != FS_VERITY_HASH_ALG_SHA256 ||
        measured->digest_size != sizeof(id->exe_verity))
        return;
    memcpy(id->exe_verity, measured->digest, sizeof(id->exe_verity));
    id->flags |= LH_IDENTITY_EXE_VERITY;
}

lh_err lh_exe_read(lh_exe_reader *reader, int proc, lh_identity *identity)
{
    LH_TRY(read_link(proc, identity->exe_path, sizeof(identity->exe_path)));
    LH_AUTO_FD exe = openat(proc, "exe", O_PATH | O_CLOEXEC);
    struct statx st;
    if (exe < 0 || stat_cached(exe, &st) != 0)
        return lh_proc_file_error(errno, "exe");
    file_key key = key_of(&st);
    identity->exe_dev = key.dev;
    identity->exe_ino = key.ino;
    identity->exe_size = key.size;
    identity->exe_mtime_ns = key.mtime_ns;
    identity->exe_ctime_ns = key.ctime_ns;
    memset(identity->exe_sha256, 0, sizeof(identity->exe_sha256));
    LH_AUTO(lh_buf_free) lh_buf own = LH_BUF_INIT(LH_LIMIT_MOUNTINFO);
    LH_TRY(lh_proc_file_read(AT_FDCWD, "/proc/self/mountinfo", &own));
    if (st.stx_nlink == 0) {
        identity->exe_status = LH_EXE_DELETED;
        return LH_SUCCESS;
    }
    identity->exe_status = (st.stx_mask & STATX_MNT_ID) ? classify_mount(reader, proc, st.stx_mnt_id,
                                                              lh_buf_bytes(&own), identity->flags)
                                                        : LH_EXE_MOUNT;
    if (identity->exe_status != LH_EXE_OK)
        return LH_SUCCESS;
    check_path(reader, identity->exe_path, &key, lh_buf_bytes(&own), &identity->flags);
    read_verity(proc, &key, identity);
    return read_digest(reader, proc, &key, identity);
}
