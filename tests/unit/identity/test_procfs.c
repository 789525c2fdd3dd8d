#include "identity/identity.h"
#include "identity/procfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TAIL                                                                                                 \
    "S 1 2 3 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 8765 1000 200 18446744073709551615 11 12 13 0 0 0 0 0 " \
    "0 0 0 0 17 1 "                                                                                          \
    "0 0 0 0 0 21 22 23 24 25 26 27 0\n"

static void stat_yields_its_fields(void **state)
{
    (void)state;
    lh_proc_stat stat;
    assert_true(lh_ok(lh_proc_stat_parse(LH_BYTES_STR("42 (bash) " TAIL), &stat)));
    assert_int_equal(stat.pid, 42);
    assert_int_equal(stat.state, 'S');
    assert_int_equal(stat.start_time, 8765);
    assert_int_equal(stat.start_code, 11);
    assert_int_equal(stat.end_code, 12);
    assert_int_equal(stat.start_stack, 13);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(stat.addresses[i], 21 + i);
}

static void a_name_cannot_forge_stat(void **state)
{
    (void)state;
    static const char *const names[] = {
        "42 (a) R 9 9) " TAIL, "42 (()) " TAIL, "42 (x\ny) S) " TAIL, "42 () " TAIL};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        lh_proc_stat stat;
        assert_true(lh_ok(lh_proc_stat_parse(LH_BYTES_STR(names[i]), &stat)));
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.start_time, 8765);
    }
}

static void malformed_stat_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "42", "42 (bash", "42 (bash)", "x (bash) " TAIL, "0 (bash) " TAIL,
        "4294967296 (bash) " TAIL, "42 (bash) S 1 2 3", "-1 (bash) " TAIL, "42 bash " TAIL,
        "42 (bash) SS" TAIL,
        "42 (bash) S 1 2 3 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 -8765 1000 200 1 11 12 13 0 0 0 0 0 0 0 0 "
        "0 17 1 0 0 0 "
        "0 0 21 22 23 24 25 26 27 0\n"};
    for (size_t i = 0; i < LH_ARRAY_LEN(texts); i++) {
        lh_proc_stat stat = {.pid = 7};
        assert_int_equal(lh_proc_stat_parse(LH_BYTES_STR(texts[i]), &stat).code, LH_E_CORRUPT);
        assert_int_equal(stat.pid, 7);
    }
}

static void status_yields_ids_and_tracer(void **state)
{
    (void)state;
    lh_proc_status status;
    assert_true(lh_ok(lh_proc_status_parse(
        LH_BYTES_STR("Name:\tx\nState:\tS "
                     "(sleeping)\nTracerPid:\t77\nUid:\t1\t2\t3\t4294967295\nGid:\t5\t6\t7\t8\nFD:\t1\n"),
        &status)));
    assert_int_equal(status.tracer_pid, 77);
    assert_int_equal(status.uids[1], 2);
    assert_int_equal(status.uids[3], 4294967295U);
    assert_int_equal(status.gids[3], 8);
}

static void malformed_status_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\t0\nGid:\t5\t6\t7\t8\n", "TracerPid:\t0\nUid:\t1\t2\t3\t4\n",
        "TracerPid:\t0\nUid:\t1\t2\t3\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\t0\nUid:\t1\t2\t3\t4\t5\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\t0\nUid:\t1\t2\t3\t4294967296\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\t0\nUid:\t1\t2\t3\t-4\nGid:\t5\t6\t7\t8\n",
        "TracerPid:\t0\nUid:\t0\t0\t0\t0\nUid:\t1\t1\t1\t1\nGid:\t5\t6\t7\t8\n"};
    for (size_t i = 0; i < LH_ARRAY_LEN(texts); i++) {
        lh_proc_status status;
        assert_int_equal(lh_proc_status_parse(LH_BYTES_STR(texts[i]), &status).code, LH_E_CORRUPT);
    }
}

static void cgroup_is_the_unified_one(void **state)
{
    (void)state;
    char path[32];
    assert_true(
        lh_ok(lh_proc_cgroup_parse(LH_BYTES_STR("0::/system.slice/a.service\n"), path, sizeof(path))));
    assert_string_equal(path, "/system.slice/a.service");
    assert_true(
        lh_ok(lh_proc_cgroup_parse(LH_BYTES_STR("12:cpu:/forged.service\n0::/\n"), path, sizeof(path))));
    assert_string_equal(path, "/");
    assert_true(lh_ok(
        lh_proc_cgroup_parse(LH_BYTES_STR("1:name=systemd:/system.slice/a.service\n"), path, sizeof(path))));
    assert_string_equal(path, "");
    assert_true(lh_ok(lh_proc_cgroup_parse(LH_BYTES_NONE, path, sizeof(path))));
    assert_string_equal(path, "");
    assert_int_equal(
        lh_proc_cgroup_parse(LH_BYTES_STR("0::relative\n"), path, sizeof(path)).code, LH_E_CORRUPT);
    assert_int_equal(
        lh_proc_cgroup_parse(LH_BYTES_STR("0::/a\n0::/b\n"), path, sizeof(path)).code, LH_E_CORRUPT);
    assert_int_equal(lh_proc_cgroup_parse(LH_BYTES("0::/a\0b\n", 8), path, sizeof(path)).code, LH_E_CORRUPT);
    assert_int_equal(
        lh_proc_cgroup_parse(LH_BYTES_STR("0::/0123456789012345678901234567890\n"), path, sizeof(path)).code,
        LH_E_LIMIT);
    assert_true(lh_ok(
        lh_proc_cgroup_parse(LH_BYTES_STR("0::/012345678901234567890123456789\n"), path, sizeof(path))));
}

static void a_unit_is_exactly_below_the_system_slice(void **state)
{
    (void)state;
    char unit[LH_IDENTITY_UNIT_SIZE];
    assert_true(lh_proc_unit_parse("/system.slice/payments-api.service", unit, sizeof(unit)));
    assert_string_equal(unit, "payments-api.service");
    assert_true(lh_proc_unit_parse("/system.slice/getty@tty1.service", unit, sizeof(unit)));
    assert_true(lh_proc_unit_parse("/system.slice/a\\x2db:c_d.service", unit, sizeof(unit)));
    static const char *const paths[] = {"", "/", "/system.slice", "/system.slice/", "/system.slice/.service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
        "/user.slice/user-1000.slice/user@1000.service/system.slice/x.service", "/user.slice/x.service",
        "/system.slice/docker-abc.scope/system.slice/x.service", "/system.slice/x.service/sub",
        "/system.slice/x.service/y.service", "/system.slice/system-foo.slice/x.service", "/x.service",
        "system.slice/x.service", "//system.slice/x.service", "/system.slice//x.service",
        "/system.slice/x.scope", "/system.slice/x.service (deleted)", "/system.slice/x y.service",
        "/system.slice/x\ny.service", "/system.slice/x.service\n", "/system.slice/../x.service",
        "/../system.slice/x.service", "/docker/abc/system.slice/x.service", "/SYSTEM.SLICE/x.service",
        "/system.slice/\xc3\xa4.service"};
    for (size_t i = 0; i < LH_ARRAY_LEN(paths); i++) {
        unit[0] = 'x';
        assert_false(lh_proc_unit_parse(paths[i], unit, sizeof(unit)));
        assert_string_equal(unit, "");
    }
    char longest[400] = "/system.slice/";
    memset(longest + 14, 'a', 247);
    memcpy(longest + 14 + 247, ".service", 9);
    assert_true(lh_proc_unit_parse(longest, unit, sizeof(unit)));
    memset(longest + 14, 'a', 248);
    memcpy(longest + 14 + 248, ".service", 9);
    assert_false(lh_proc_unit_parse(longest, unit, sizeof(unit)));
}

static void mounts(void **state)
{
    (void)state;
    static const char text[] = "21 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
                               "22 21 0:20 / /home/u/- rw,nosuid,nodev - fuse.sshfs host: rw\n"
                               "23 21 0:21 / /x\\040- rw,nosuidx - tmpfs none rw\n"
                               "bad\n24 21 0:22\n";
    lh_proc_mount mount;
    assert_true(lh_ok(lh_proc_mount_find(LH_BYTES_STR(text), 21, &mount)));
    assert_string_equal(mount.type, "ext4");
    assert_false(mount.nosuid);
    assert_true(lh_proc_mount_is_local(&mount));
    assert_true(lh_ok(lh_proc_mount_find(LH_BYTES_STR(text), 22, &mount)));
    assert_string_equal(mount.type, "fuse.sshfs");
    assert_true(mount.nosuid);
    assert_false(lh_proc_mount_is_local(&mount));
    assert_true(lh_ok(lh_proc_mount_find(LH_BYTES_STR(text), 23, &mount)));
    assert_string_equal(mount.type, "tmpfs");
    assert_false(mount.nosuid);
    assert_int_equal(lh_proc_mount_find(LH_BYTES_STR(text), 2, &mount).code, LH_E_NOT_FOUND);
    assert_int_equal(lh_proc_mount_find(LH_BYTES_STR(text), 24, &mount).code, LH_E_CORRUPT);
    static const char *const other[] = {
        "fuse", "fuseblk", "nfs4", "9p", "cifs", "virtiofs", "", "ext", "ext44"};
    for (size_t i = 0; i < LH_ARRAY_LEN(other); i++) {
        lh_proc_mount m = {0};
        memcpy(m.type, other[i], strlen(other[i]));
        assert_false(lh_proc_mount_is_local(&m));
    }
    assert_int_equal(
        lh_proc_mount_parse(LH_BYTES_STR("1 2 3 4 5 6 - aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x"), &mount)
            .code,
        LH_E_CORRUPT);
}

static void labels(void **state)
{
    (void)state;
    assert_true(lh_proc_label_confines("/usr/bin/payments (enforce)", false));
    assert_true(lh_proc_label_confines("payments (kill)", false));
    assert_true(lh_proc_label_confines("system_u:system_r:payments_t:s0", true));
    static const char *const weak[] = {"", "unconfined", "payments (complain)", "payments (unconfined)", "_",
        " (enforce)", "system_u:system_r:unconfined_service_t:s0",
        "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", "system_u:system_r:kernel_t:s0",
        "a:b:", "a:b", "a:b:c (complain)"};
    for (size_t i = 0; i < LH_ARRAY_LEN(weak); i++)
        assert_false(lh_proc_label_confines(weak[i], true));
    assert_false(lh_proc_label_confines("system_u:system_r:payments_t:s0", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_yields_its_fields),
        cmocka_unit_test(a_name_cannot_forge_stat),
        cmocka_unit_test(malformed_stat_is_refused),
        cmocka_unit_test(status_yields_ids_and_tracer),
        cmocka_unit_test(malformed_status_is_refused),
        cmocka_unit_test(cgroup_is_the_unified_one),
        cmocka_unit_test(a_unit_is_exactly_below_the_system_slice),
        cmocka_unit_test(mounts),
        cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
