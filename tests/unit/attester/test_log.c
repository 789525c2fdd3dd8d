/* Parts of logs: whole entries, ends, short reads, bounds. */
#include "../tpm_fixture.h"

#include "attester/attester.h"

#include <sys/mman.h>

static lh_attester *attester_on(int events, int ima)
{
    lh_attester *attester = NULL;
    const lh_attester_options options = {NULL, NULL, events, ima}; /* logs need no TPM */
    assert_lh_ok(lh_attester_new(&options, &attester));
    return attester;
}

static int file_of(const void *data, size_t len)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    return fd;
}

static void put_u32(lh_buf *b, uint32_t n)
{
    const uint8_t le[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    lh_buf_append(b, le, 4);
}

/* An ima-ng entry of a file whose path has that many bytes. */
static void put_entry(lh_buf *b, size_t path)
{
    static const uint8_t digest[32] = {7};
    put_u32(b, 10);
    lh_buf_append(b, digest, 20);
    put_u32(b, 6);
    lh_buf_append(b, "ima-ng", 6);
    put_u32(b, (uint32_t)(4 + 8 + 32 + 4 + path + 1));
    put_u32(b, 8 + 32);
    lh_buf_append(b, "sha256:", 8);
    lh_buf_append(b, digest, 32);
    put_u32(b, (uint32_t)path + 1);
    for (size_t i = 0; i < path; i++)
        lh_buf_append(b, "p", 1);
    lh_buf_append(b, "", 1);
}
#define ENTRY(path) (4 + 20 + 4 + 6 + 4 + 4 + 8 + 32 + 4 + (path) + 1)

static void test_none(void **unused)
{
    (void)unused;
    lh_attester *attester = attester_on(-1, -1);
    lh_buf out = LH_BUF_INIT(100);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 0, 100, &out));
    assert_lh_ok(lh_attester_log(attester, LH_LOG_IMA, 17, 100, &out));
    assert_int_equal(out.len, 0);
    assert_int_equal(lh_attester_log(attester, (enum lh_log_kind)3, 0, 100, &out).code, LH_E_INVALID);
    assert_int_equal(lh_attester_log(attester, LH_LOG_IMA, 0, 0, &out).code, LH_E_INVALID);
    assert_int_equal(lh_attester_log(attester, LH_LOG_IMA, UINT64_MAX, 1, &out).code, LH_E_INVALID);
    lh_attester_free(attester);
}

static void test_event_log(void **unused)
{
    (void)unused;
    int fd = file_of("0123456789", 10);
    lh_attester *attester = attester_on(fd, -1);
    lh_buf out = LH_BUF_INIT(100);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 0, 4, &out));
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 4, 100, &out)); /* appended */
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 10, 100, &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), LH_BYTES_STR("0123456789")));
    assert_lh_refused(lh_attester_log(attester, LH_LOG_EVENTS, 11, 100, &out), LH_E_NOT_FOUND, "log-offset");
    lh_buf small = LH_BUF_INIT(3);
    assert_int_equal(lh_attester_log(attester, LH_LOG_EVENTS, 0, 4, &small).code, LH_E_LIMIT);
    assert_int_equal(small.len, 0);
    lh_buf_free(&out);
    lh_attester_free(attester);
    close(fd);
}

static void test_ima_in_whole_entries(void **unused)
{
    (void)unused;
    lh_buf log = LH_BUF_INIT(1 << 20), out = LH_BUF_INIT(1 << 20);
    const size_t paths[] = {1, 200, 30};
    for (size_t i = 0; i < 3; i++)
        put_entry(&log, paths[i]);
    assert_int_equal(log.len, ENTRY(1) + ENTRY(200) + ENTRY(30));
    int fd = file_of(log.data, log.len - 1); /* the last is still being written */
    lh_attester *attester = attester_on(-1, fd);
    /* Whatever the size of the parts, they are whole entries, and together they are the log. */
    for (size_t max = ENTRY(200); max < log.len + 10; max += 7) {
        lh_buf_clear(&out);
        size_t before;
        do {
            before = out.len;
            assert_lh_ok(lh_attester_log(attester, LH_LOG_IMA, out.len, max, &out));
            assert_true(out.len == 0 || out.len == ENTRY(1) || out.len == ENTRY(1) + ENTRY(200));
            assert_true(out.len - before <= max);
        } while (out.len > before);
        assert_int_equal(out.len, ENTRY(1) + ENTRY(200));
        assert_memory_equal(out.data, log.data, out.len);
    }
    assert_int_equal(pwrite(fd, log.data, log.len, 0), log.len);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_IMA, out.len, 1000, &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), lh_buf_bytes(&log)));
    assert_lh_refused(
        lh_attester_log(attester, LH_LOG_IMA, ENTRY(1), ENTRY(200) - 1, &out), LH_E_LIMIT, "log-entry-size");
    assert_lh_refused(
        lh_attester_log(attester, LH_LOG_IMA, log.len + 1, 1000, &out), LH_E_NOT_FOUND, "log-offset");
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), lh_buf_bytes(&log)));
    lh_attester_free(attester);
    close(fd);
    lh_buf_free(&log);
    lh_buf_free(&out);
}

/* What is no entry is the verifier's to refuse: it is not kept from it. */
static void test_ima_that_is_none(void **unused)
{
    (void)unused;
    lh_buf log = LH_BUF_INIT(1 << 20), out = LH_BUF_INIT(1 << 20);
    put_entry(&log, 5);
    for (size_t i = 0; i < 100; i++)
        lh_buf_append(&log, "\xff", 1);
    int fd = file_of(log.data, log.len);
    lh_attester *attester = attester_on(-1, fd);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_IMA, 0, 1000, &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), lh_buf_bytes(&log)));
    lh_attester_free(attester);
    close(fd);
    lh_buf_free(&log);
    lh_buf_free(&out);
}

/* A file of the kernel's that gives less than was asked for without being at its end, and says it has no
 * size. */
static void test_kernel_file(void **unused)
{
    (void)unused;
    int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    static uint8_t first[100000];
    if (fd < 0 || read(fd, first, sizeof(first)) == (ssize_t)sizeof(first))
        skip();
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(first) && (n = pread(fd, first + len, sizeof(first) - len, (off_t)len)) > 0)
        len += (size_t)n;
    if (len < sizeof(first))
        skip();
    lh_attester *attester = attester_on(fd, -1);
    lh_buf out = LH_BUF_INIT(1 << 20);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 0, 33333, &out));
    assert_int_equal(out.len, 33333);
    assert_lh_ok(lh_attester_log(attester, LH_LOG_EVENTS, 33333, sizeof(first) - 33333, &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), LH_BYTES(first, sizeof(first))));
    lh_attester_free(attester);
    lh_buf_free(&out);
    close(fd);
}

static void test_unreadable(void **unused)
{
    (void)unused;
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lh_attester *attester = attester_on(fd, -1);
    lh_buf out = LH_BUF_INIT(100);
    assert_int_equal(lh_attester_log(attester, LH_LOG_EVENTS, 0, 10, &out).code, LH_E_IO);
    lh_attester_free(attester);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_event_log),
        cmocka_unit_test(test_ima_in_whole_entries),
        cmocka_unit_test(test_ima_that_is_none),
        cmocka_unit_test(test_kernel_file),
        cmocka_unit_test(test_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
