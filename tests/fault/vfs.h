/* A SQLite VFS over the default one whose N-th write, sync or truncation fails. One at a time in a process;
 * set up while the store is idle, counted on whatever thread SQLite writes. */
#ifndef LH_TESTS_FAULT_VFS_H
#define LH_TESTS_FAULT_VFS_H

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#define FAULT_VFS_NAME "leasehold-fault"

static struct {
    pthread_mutex_t lock;
    long countdown; /* fails when it reaches 0; negative: never */
    bool sticky;    /* and ever after */
    int rc;         /* SQLITE_FULL or an SQLITE_IOERR_… */
    bool struck;
    sqlite3_vfs *real;
    sqlite3_vfs vfs;
    sqlite3_io_methods methods;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER, .countdown = -1};

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* in the memory after this struct */
};

static inline void fault_arm(long n, bool sticky, int rc)
{
    pthread_mutex_lock(&fault.lock);
    fault.countdown = n;
    fault.sticky = sticky;
    fault.rc = rc;
    fault.struck = false;
    pthread_mutex_unlock(&fault.lock);
}

/* Whether it struck since it was armed. */
static inline bool fault_disarm(void)
{
    pthread_mutex_lock(&fault.lock);
    bool struck = fault.struck;
    fault.countdown = -1;
    pthread_mutex_unlock(&fault.lock);
    return struck;
}

/* SQLITE_OK, or what this call is to fail with. */
static inline int fault_strikes(void)
{
    int rc = SQLITE_OK;
    pthread_mutex_lock(&fault.lock);
    if (fault.countdown > 0 && --fault.countdown == 0) {
        fault.struck = true;
        rc = fault.rc;
        fault.countdown = fault.sticky ? 1 : -1;
    }
    pthread_mutex_unlock(&fault.lock);
    return rc;
}

static inline sqlite3_file *real_of(sqlite3_file *file)
{
    struct fault_file *f = (struct fault_file *)file;
    return f->real;
}

#define REAL(call) (real_of(file)->pMethods->call)

static int fault_close(sqlite3_file *file)
{
    return REAL(xClose)(real_of(file));
}
static int fault_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    return REAL(xRead)(real_of(file), out, len, at);
}
/* A write that fails has written half: what a full disk or a torn write leaves. */
static int fault_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    int rc = fault_strikes();
    if (rc == SQLITE_OK)
        return REAL(xWrite)(real_of(file), data, len, at);
    (void)REAL(xWrite)(real_of(file), data, len / 2, at);
    return rc;
}
static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = fault_strikes();
    return rc == SQLITE_OK ? REAL(xTruncate)(real_of(file), size) : SQLITE_IOERR_TRUNCATE;
}
static int fault_sync(sqlite3_file *file, int flags)
{
    int rc = fault_strikes();
    return rc == SQLITE_OK     ? REAL(xSync)(real_of(file), flags)
           : rc == SQLITE_FULL ? SQLITE_FULL
                               : SQLITE_IOERR_FSYNC;
}
static int fault_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return REAL(xFileSize)(real_of(file), ret);
}
static int fault_lock(sqlite3_file *file, int level)
{
    return REAL(xLock)(real_of(file), level);
}
static int fault_unlock(sqlite3_file *file, int level)
{
    return REAL(xUnlock)(real_of(file), level);
}
static int fault_reserved(sqlite3_file *file, int *ret)
{
    return REAL(xCheckReservedLock)(real_of(file), ret);
}
static int fault_control(sqlite3_file *file, int op, void *arg)
{
    return REAL(xFileControl)(real_of(file), op, arg);
}
static int fault_sector(sqlite3_file *file)
{
    return REAL(xSectorSize)(real_of(file));
}
static int fault_device(sqlite3_file *file)
{
    return REAL(xDeviceCharacteristics)(real_of(file));
}
static int fault_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    return REAL(xShmMap)(real_of(file), region, size, extend, ret);
}
static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return REAL(xShmLock)(real_of(file), offset, n, flags);
}
static void fault_shm_barrier(sqlite3_file *file)
{
    REAL(xShmBarrier)(real_of(file));
}
static int fault_shm_unmap(sqlite3_file *file, int remove_it)
{
    return REAL(xShmUnmap)(real_of(file), remove_it);
}

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct fault_file *f = (struct fault_file *)file;
    (void)vfs;
    f->real = (sqlite3_file *)(f + 1);
    int rc = fault.real->xOpen(fault.real, name, f->real, flags, ret_flags);
    f->base.pMethods = rc == SQLITE_OK ? &fault.methods : NULL;
    return rc;
}

static inline void fault_register(void)
{
    fault.real = sqlite3_vfs_find(NULL);
    fault.methods = (sqlite3_io_methods){.iVersion = 2,
        .xClose = fault_close,
        .xRead = fault_read,
        .xWrite = fault_write,
        .xTruncate = fault_truncate,
        .xSync = fault_sync,
        .xFileSize = fault_size,
        .xLock = fault_lock,
        .xUnlock = fault_unlock,
        .xCheckReservedLock = fault_reserved,
        .xFileControl = fault_control,
        .xSectorSize = fault_sector,
        .xDeviceCharacteristics = fault_device,
        .xShmMap = fault_shm_map,
        .xShmLock = fault_shm_lock,
        .xShmBarrier = fault_shm_barrier,
        .xShmUnmap = fault_shm_unmap};
    fault.vfs = *fault.real;
    fault.vfs.zName = FAULT_VFS_NAME;
    fault.vfs.szOsFile = fault.real->szOsFile + (int)sizeof(struct fault_file);
    fault.vfs.xOpen = fault_open;
    sqlite3_vfs_register(&fault.vfs, 0);
}

#endif
