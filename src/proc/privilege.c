#include "proc/privilege.h"

#include <errno.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void cap_freep(cap_t *caps)
{
    if (*caps)
        cap_free(*caps);
}

/* A child's exec must not get anything back. Needs CAP_SETPCAP, so it comes first. */
static lh_err drop_bounding(void)
{
    for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
        if (cap_drop_bound(cap) != 0)
            return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}

static lh_err caps_make(const lh_privilege_spec *spec, cap_t *ret)
{
    LH_AUTO(cap_freep) cap_t caps = cap_init();
    if (!caps)
        return LH_RAISE(LH_E_NOMEM, errno);
    for (size_t i = 0; i < spec->n_caps; i++) {
        cap_value_t value = spec->caps[i];
        /* cap_set_flag passes over one that it does not know. */
        if (!CAP_IS_SUPPORTED(value) || cap_set_flag(caps, CAP_PERMITTED, 1, &value, CAP_SET) != 0 ||
            cap_set_flag(caps, CAP_EFFECTIVE, 1, &value, CAP_SET) != 0)
            return LH_FAIL(LH_E_INVALID, "there is no capability %d", value);
    }
    *ret = LH_TAKE(caps);
    return LH_SUCCESS;
}

static lh_err change_user(const lh_privilege_spec *spec)
{
    if (setgroups(spec->n_groups, spec->groups) != 0 || setresgid(spec->gid, spec->gid, spec->gid) != 0)
        return LH_RAISE(LH_E_IO, errno);
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setresuid(spec->uid, spec->uid, spec->uid) != 0 ||
        prctl(PR_SET_KEEPCAPS, 0) != 0)
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}

/* What was asked for is what the kernel says now. */
static lh_err check(const lh_privilege_spec *spec, cap_t wanted)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 || getresgid(&gids[0], &gids[1], &gids[2]) != 0)
        return LH_RAISE(LH_E_IO, errno);
    for (int i = 0; i < 3; i++)
        if (uids[i] != spec->uid || gids[i] != spec->gid)
            return LH_FAIL(LH_E_INTERNAL, "the user did not change for good");
    LH_AUTO(cap_freep) cap_t now = cap_get_proc();
    if (!now || cap_compare(now, wanted) != 0)
        return LH_FAIL(LH_E_INTERNAL, "the capabilities are not those asked for");
    if (setuid(0) == 0)
        return LH_FAIL(LH_E_INTERNAL, "it is possible to become root again");
    return LH_SUCCESS;
}

lh_err lh_privilege_drop(const lh_privilege_spec *spec)
{
    if (geteuid() != 0)
        return LH_FAIL(LH_E_STATE, "only root can give up root's privileges");
    if (spec->uid == 0 || spec->n_caps > LH_PRIVILEGE_CAPS_MAX)
        return LH_FAIL(LH_E_INVALID, "the user must not be root, and keeps at most %d capabilities",
            LH_PRIVILEGE_CAPS_MAX);
    LH_AUTO(cap_freep) cap_t caps = NULL;
    LH_TRY(caps_make(spec, &caps));
    LH_TRY(drop_bounding());
    LH_TRY(change_user(spec));
    if (cap_reset_ambient() != 0 || cap_set_proc(caps) != 0)
        return LH_RAISE(LH_E_IO, errno);
    return check(spec, caps);
}

lh_err lh_privilege_renounce(void)
{
    LH_AUTO(cap_freep) cap_t none = cap_init();
    if (!none)
        return LH_RAISE(LH_E_NOMEM, errno);
    if (geteuid() == 0) /* where root may; without it no_new_privs stands against getting any back */
        LH_IGNORE(drop_bounding());
    if (cap_reset_ambient() != 0 || cap_set_proc(none) != 0)
        return LH_RAISE(LH_E_IO, errno);
    LH_AUTO(cap_freep) cap_t now = cap_get_proc();
    return now && cap_compare(now, none) == 0
               ? LH_SUCCESS
               : LH_FAIL(LH_E_INTERNAL, "capabilities are left that were given up");
}

lh_err lh_privilege_harden(void)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}
