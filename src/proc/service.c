#include "proc/service.h"

#include "base/log_line.h"
#include "base/macro.h"
#include "proc/fd.h"
#include "proc/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 64

lh_err lh_service_find_user(const char *what, const char *name, const char *group, lh_service_user *ret)
{
    *ret = (lh_service_user){.uid = geteuid(), .gid = getegid()};
    if (geteuid() != 0)
        return LH_SUCCESS;
    const struct passwd *user = getpwnam(name);
    if (!user)
        return LH_FAIL(LH_E_NOT_FOUND,
            "there is no user %s for the %s to run as: create one (useradd --system %s) or name another in "
            "the "
            "configuration (user:)",
            name, what, name);
    if (user->pw_uid == 0)
        return LH_FAIL(LH_E_INVALID,
            "the %s does not serve as root: name another user in the configuration (user:)", what);
    *ret = (lh_service_user){.uid = user->pw_uid, .gid = user->pw_gid, .drop = 1};
    if (!group)
        return LH_SUCCESS;
    const struct group *found = getgrnam(group);
    if (!found)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no group %s (configuration: group)", group);
    ret->gid = found->gr_gid;
    return LH_SUCCESS;
}

lh_err lh_service_make_folder(const char *path, mode_t mode, const lh_service_user *user, bool *ret_made)
{
    *ret_made = mkdir(path, 0700) == 0;
    if (!*ret_made && errno == EEXIST)
        return LH_SUCCESS;
    if (!*ret_made)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", path, strerrordesc_np(errno));
    /* By descriptor, so that what is changed is a folder of ours, whatever the path has become; the mode so,
     * since the umask takes bits from mkdir's. */
    LH_AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || fchmod(fd, mode) != 0)
        return LH_FAIL(LH_E_IO, "cannot set the mode of the folder %s: %s", path, strerrordesc_np(errno));
    if (user->drop && (status.st_uid != geteuid() || fchown(fd, user->uid, user->gid) != 0))
        return LH_FAIL(LH_E_IO, "cannot give the folder %s to the user it is for", path);
    return LH_SUCCESS;
}

lh_err lh_service_check_folder(const char *path, const lh_service_user *user)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return LH_FAIL(LH_E_IO, "cannot look at the folder %s: %s", path, strerrordesc_np(errno));
    if (!S_ISDIR(status.st_mode))
        return LH_FAIL(LH_E_INVALID,
            "state_dir %s is %s: name the folder itself in the configuration (state_dir:)", path,
            S_ISLNK(status.st_mode) ? "a symbolic link" : "no folder");
    if (status.st_uid != user->uid)
        return LH_FAIL(LH_E_DENIED,
            "state_dir %s belongs to user %u, not to user %u, as whom this runs: if it is the right one, run "
            "`chown -R %u:%u %s`",
            path, status.st_uid, user->uid, user->uid, user->gid, path);
    if ((status.st_mode & 077) != 0)
        return LH_FAIL(LH_E_DENIED, "state_dir %s is open to other users (mode %04o): run `chmod 700 %s`",
            path, status.st_mode & 07777U, path);
    return LH_SUCCESS;
}

lh_err lh_service_open_log(const char *path, bool named, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && named)
        return LH_FAIL(LH_E_IO, "cannot open the log %s, which the configuration names: %s", path,
            strerrordesc_np(errno));
    if (fd < 0)
        lh_log_line(LH_LEVEL_NOTICE, "no log at %s (%s): reference values that want it will not be met", path,
            strerrordesc_np(errno));
    *ret_fd = fd;
    return LH_SUCCESS;
}

lh_err lh_service_drop(const char *name, const lh_service_user *user)
{
    if (user->drop) {
        gid_t groups[GROUPS_MAX];
        int count = GROUPS_MAX;
        if (getgrouplist(name, user->gid, groups, &count) < 0)
            return LH_FAIL(LH_E_LIMIT, "user %s is in too many groups", name);
        const lh_privilege_spec spec = {
            .uid = user->uid, .gid = user->gid, .groups = groups, .n_groups = (size_t)count};
        LH_TRY(lh_privilege_drop(&spec));
    }
    return lh_privilege_harden();
}

void lh_service_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(
            RLIMIT_NOFILE, &limit); /* without it there are fewer connections, and a line in the log */
    }
}

void lh_service_raise_locked(uint64_t bytes)
{
    const struct rlimit wanted = {bytes, bytes};
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= bytes)
        return;
    if (limit.rlim_max < bytes && setrlimit(RLIMIT_MEMLOCK, &wanted) == 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* without it fewer keys are kept */
}
