#include "codec/bin.h"
#include "identity/attest_wire.h"
#include "identity/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static lh_identity sample(void)
{
    lh_identity id = {.pid = 42,
        .start_time = 8765,
        .boot_id = {1, 2, 3},
        .uid = 1000,
        .gid = 1001,
        .flags = LH_IDENTITY_EXE_PATH_OURS | LH_IDENTITY_LSM_CONFINED,
        .tracer_pid = 0,
        .user_ns = 4026531837,
        .pid_ns = 4026531836,
        .mount_ns = 4026531840,
        .exe_status = LH_EXE_OK,
        .exe_sha256 = {9, 8, 7},
        .exe_dev = 1,
        .exe_ino = 2,
        .exe_size = 3,
        .exe_mtime_ns = -4,
        .exe_ctime_ns = 5,
        .exe_path = "/usr/bin/payments",
        .cgroup = "/system.slice/payments.service",
        .unit = "payments.service",
        .lsm_label = "payments (enforce)",
        .exec_fingerprint = {0xee}};
    return id;
}

/* With what version 2 added. */
static lh_identity full_sample(void)
{
    lh_identity id = sample();
    id.flags |= LH_IDENTITY_EXE_VERITY;
    id.exe_verity[0] = 0x77;
    (void)snprintf(id.invocation, sizeof(id.invocation), "%s", "00112233445566778899aabbccddeeff");
    id.container_runtime = LH_CONTAINER_CRIO;
    memset(id.container_id, 'c', sizeof(id.container_id) - 1);
    (void)snprintf(id.pod, sizeof(id.pod), "%s", "0f3c5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50");
    (void)snprintf(id.pod_labels, sizeof(id.pod_labels), "%s", "app=payments\n");
    (void)snprintf(id.user, sizeof(id.user), "%s", "payments");
    return id;
}

static void round_trip(void **state)
{
    (void)state;
    lh_identity id = full_sample();
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&id, &bytes);
    assert_true(lh_ok(lh_buf_status(&bytes)));
    lh_identity back;
    assert_true(lh_ok(lh_facts_decode(lh_buf_bytes(&bytes), &back)));
    assert_null(lh_identity_difference(&id, &back));
    assert_int_equal(back.exe_mtime_ns, -4);
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&back, &again);
    assert_true(lh_bytes_equal(lh_buf_bytes(&bytes), lh_buf_bytes(&again)));
}

static void the_largest_fits(void **state)
{
    (void)state;
    lh_identity id = sample();
    memset(id.exe_path, 'a', sizeof(id.exe_path) - 1);
    memset(id.cgroup, 'a', sizeof(id.cgroup) - 1);
    memset(id.unit, 'a', sizeof(id.unit) - 1);
    memset(id.lsm_label, 'a', sizeof(id.lsm_label) - 1);
    memset(id.container_id, 'a', sizeof(id.container_id) - 1);
    memset(id.invocation, 'a', sizeof(id.invocation) - 1);
    memset(id.pod, 'a', sizeof(id.pod) - 1);
    memset(id.pod_labels, 'a', sizeof(id.pod_labels) - 1);
    memset(id.user, 'a', sizeof(id.user) - 1);
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&id, &bytes);
    lh_identity back;
    assert_true(lh_ok(lh_facts_decode(lh_buf_bytes(&bytes), &back)));
    assert_true(lh_identity_same(&id, &back));
}

/* Version 1 as it was first written: this never changes. */
static void version_1_is_read(void **state)
{
    (void)state;
    static const char hex[] =
        "010000002a000000000000223d01020300000000000000000000000000000003e8000003e90000005000000000"
        "00000000effffffd00000000effffffc00000000f000000000"
        "0908070000000000000000000000000000000000000000000000000000000000"
        "000000000000000100000000000000020000000000000003fffffffffffffffc0000000000000005"
        "000000112f7573722f62696e2f7061796d656e7473"
        "0000001e2f73797374656d2e736c6963652f7061796d656e74732e73657276696365"
        "000000107061796d656e74732e73657276696365"
        "000000127061796d656e74732028656e666f72636529"
        "ee00000000000000000000000000000000000000000000000000000000000000";
    uint8_t bytes[sizeof(hex) / 2];
    assert_true(lh_ok(lh_unhex(hex, bytes, sizeof(hex) / 2)));
    lh_identity back;
    assert_true(lh_ok(lh_facts_decode(LH_BYTES(bytes, sizeof(hex) / 2), &back)));
    lh_identity id = sample();
    assert_null(lh_identity_difference(&id, &back));
}

/* Version 2 as it was first written: this never changes. */
static void version_2_is_read(void **state)
{
    (void)state;
    static const char hex[] =
        "020000002a000000000000223d01020300000000000000000000000000000003e8000003e9000000d0000000"
        "0000000000effffffd00000000effffffc00000000f000000000090807000000000000000000000000000000"
        "0000000000000000000000000000000000000000000100000000000000020000000000000003ffffffffffff"
        "fffc0000000000000005000000112f7573722f62696e2f7061796d656e74730000001e2f73797374656d2e73"
        "6c6963652f7061796d656e74732e73657276696365000000107061796d656e74732e73657276696365000000"
        "127061796d656e74732028656e666f7263652977000000000000000000000000000000000000000000000000"
        "0000000000000000000020303031313232333334343535363637373838393961616262636364646565666604"
        "0000004063636363636363636363636363636363636363636363636363636363636363636363636363636363"
        "6363636363636363636363636363636363636363636363630000002430663363356131652d376231642d3463"
        "36652d396630302d3462316332643365346635300000000d6170703d7061796d656e74730a00000008706179"
        "6d656e7473ee00000000000000000000000000000000000000000000000000000000000000";
    uint8_t bytes[sizeof(hex) / 2];
    assert_true(lh_ok(lh_unhex(hex, bytes, sizeof(hex) / 2)));
    lh_identity back;
    assert_true(lh_ok(lh_facts_decode(LH_BYTES(bytes, sizeof(hex) / 2), &back)));
    lh_identity id = full_sample();
    assert_null(lh_identity_difference(&id, &back));
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&back, &again);
    assert_true(lh_bytes_equal(LH_BYTES(bytes, sizeof(hex) / 2), lh_buf_bytes(&again)));
}

static void malformed_facts_are_refused(void **state)
{
    (void)state;
    lh_identity id = full_sample();
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&id, &bytes);
    lh_identity back = {.pid = 7};
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(lh_facts_decode(LH_BYTES(bytes.data, len), &back).code, LH_E_CORRUPT);
    lh_put_u8(&bytes, 0);
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&bytes), &back).code, LH_E_CORRUPT);
    bytes.len--;
    bytes.data[0] = 3; /* another version */
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&bytes), &back).code, LH_E_CORRUPT);
    assert_int_equal(back.pid, 7);
    id.pid = 0;
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&id, &none);
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&none), &back).code, LH_E_CORRUPT);
    id = sample();
    id.flags = LH_IDENTITY_FLAGS_ALL + 1;
    lh_buf_clear(&none);
    lh_facts_encode(&id, &none);
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&none), &back).code, LH_E_CORRUPT);
    id = sample();
    id.exe_status = LH_EXE_STATUS_COUNT;
    lh_buf_clear(&none);
    lh_facts_encode(&id, &none);
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&none), &back).code, LH_E_CORRUPT);
    id = sample();
    id.container_runtime = LH_CONTAINER_COUNT;
    lh_buf_clear(&none);
    lh_facts_encode(&id, &none);
    assert_int_equal(lh_facts_decode(lh_buf_bytes(&none), &back).code, LH_E_CORRUPT);
}

#define DIFFERENCE(change, name)                                                                             \
    do {                                                                                                     \
        lh_identity a = sample();                                                                            \
        lh_identity b = sample();                                                                            \
        assert_true(lh_identity_same(&a, &b));                                                               \
        b.change;                                                                                            \
        assert_false(lh_identity_same(&a, &b));                                                              \
        assert_string_equal(lh_identity_difference(&a, &b), name);                                           \
    } while (0)

static void every_field_is_compared(void **state)
{
    (void)state;
    DIFFERENCE(boot_id[15] = 1, "boot-id");
    DIFFERENCE(pid = 43, "process");
    DIFFERENCE(start_time = 1, "process");
    DIFFERENCE(uid = 1, "uid");
    DIFFERENCE(gid = 1, "uid");
    DIFFERENCE(flags = 0, "flags");
    DIFFERENCE(tracer_pid = 1, "tracer");
    DIFFERENCE(user_ns = 1, "namespace");
    DIFFERENCE(pid_ns = 1, "namespace");
    DIFFERENCE(mount_ns = 1, "namespace");
    DIFFERENCE(exe_status = LH_EXE_DELETED, "exe-sha256");
    DIFFERENCE(exe_sha256[31] = 1, "exe-sha256");
    DIFFERENCE(exe_dev = 7, "exe");
    DIFFERENCE(exe_ino = 7, "exe");
    DIFFERENCE(exe_size = 7, "exe-changed");
    DIFFERENCE(exe_mtime_ns = 7, "exe-changed");
    DIFFERENCE(exe_ctime_ns = 7, "exe-changed");
    DIFFERENCE(exe_path[1] = 'x', "exe");
    DIFFERENCE(cgroup[1] = 'x', "cgroup");
    DIFFERENCE(unit[1] = 'x', "cgroup");
    DIFFERENCE(lsm_label[1] = 'x', "lsm-label");
    DIFFERENCE(exec_fingerprint[31] = 1, "exec");
    DIFFERENCE(exe_verity[31] = 1, "exe-verity");
    DIFFERENCE(invocation[0] = 'x', "invocation");
    DIFFERENCE(container_runtime = LH_CONTAINER_DOCKER, "container");
    DIFFERENCE(container_id[0] = 'x', "container");
    DIFFERENCE(pod[0] = 'x', "container");
    DIFFERENCE(pod_labels[0] = 'x', "pod-labels");
    DIFFERENCE(user[0] = 'x', "user");
}

static void strength_counts_what_is_believed(void **state)
{
    (void)state;
    lh_identity id = sample();
    assert_int_equal(lh_identity_strength(&id), LH_STRENGTH_UNIT | LH_STRENGTH_LSM | LH_STRENGTH_DIGEST);
    id.flags |= LH_IDENTITY_EXE_PATH_TRUSTED;
    id.unit[0] = '\0';
    assert_int_equal(
        lh_identity_strength(&id), LH_STRENGTH_LSM | LH_STRENGTH_DIGEST | LH_STRENGTH_ROOT_FILES);
    static const uint32_t bars[] = {
        LH_IDENTITY_MIXED_IDS, LH_IDENTITY_OTHER_USER_NS, LH_IDENTITY_OTHER_PID_NS};
    for (size_t i = 0; i < LH_ARRAY_LEN(bars); i++) {
        lh_identity other = id;
        other.flags |= bars[i];
        assert_int_equal(lh_identity_strength(&other), 0);
    }
    id.tracer_pid = 1;
    assert_int_equal(lh_identity_strength(&id), 0);
    for (int status = 0; status < LH_EXE_STATUS_COUNT; status++)
        assert_string_not_equal(lh_exe_status_name((enum lh_exe_status)status), "unknown");
}

static void messages_round_trip(void **state)
{
    (void)state;
    lh_attest_request request = {.kind = LH_ATTEST_ADOPT, .id = 5, .pid = 6, .start_time = 7};
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_ATTEST_MESSAGE_MAX);
    lh_attest_request_encode(&request, &bytes);
    lh_attest_request back;
    assert_true(lh_ok(lh_attest_request_decode(lh_buf_bytes(&bytes), &back)));
    assert_int_equal(back.kind, LH_ATTEST_ADOPT);
    assert_int_equal(back.id, 5);
    assert_int_equal(back.pid, 6);
    assert_int_equal(back.start_time, 7);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(lh_attest_request_decode(LH_BYTES(bytes.data, len), &back).code, LH_E_CORRUPT);
    bytes.data[0] = 3;
    assert_int_equal(lh_attest_request_decode(lh_buf_bytes(&bytes), &back).code, LH_E_CORRUPT);

    lh_attest_reply reply = {.kind = LH_ATTEST_READ, .id = 9, .identity = sample()};
    lh_buf_clear(&bytes);
    lh_attest_reply_encode(&reply, &bytes);
    static lh_attest_reply answer;
    assert_true(lh_ok(lh_attest_reply_decode(lh_buf_bytes(&bytes), &answer)));
    assert_int_equal(answer.id, 9);
    assert_true(lh_identity_same(&answer.identity, &reply.identity));
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(lh_attest_reply_decode(LH_BYTES(bytes.data, len), &answer).code, LH_E_CORRUPT);

    lh_attest_reply error = {
        .kind = LH_ATTEST_READ, .id = 9, .code = LH_E_GONE, .reason = "r", .message = "m"};
    lh_buf_clear(&bytes);
    lh_attest_reply_encode(&error, &bytes);
    assert_true(lh_ok(lh_attest_reply_decode(lh_buf_bytes(&bytes), &answer)));
    assert_int_equal(answer.code, LH_E_GONE);
    assert_string_equal(answer.reason, "r");
    assert_string_equal(answer.message, "m");
    bytes.data[12] = 200; /* no such code */
    assert_int_equal(lh_attest_reply_decode(lh_buf_bytes(&bytes), &answer).code, LH_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(the_largest_fits),
        cmocka_unit_test(version_1_is_read),
        cmocka_unit_test(version_2_is_read),
        cmocka_unit_test(malformed_facts_are_refused),
        cmocka_unit_test(every_field_is_compared),
        cmocka_unit_test(strength_counts_what_is_believed),
        cmocka_unit_test(messages_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
