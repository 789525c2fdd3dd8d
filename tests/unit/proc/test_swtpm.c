#include "proc/fd.h"
#include "proc/swtpm.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* TPM2_GetRandom of 8 bytes, and the answer's response code. */
static uint32_t ask(const char *path)
{
    static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 8};
    LH_AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(write(fd, command, sizeof(command)), sizeof(command));
    uint8_t answer[64];
    ssize_t len = read(fd, answer, sizeof(answer));
    assert_true(len >= 10);
    return (uint32_t)answer[6] << 24 | (uint32_t)answer[7] << 16 | (uint32_t)answer[8] << 8 | answer[9];
}

static void remove_folder(const char *folder)
{
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void it_answers_and_outlives_its_clients(void **state)
{
    (void)state;
    char folder[] = "/tmp/leasehold-swtpm-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int start = 0; start < 2; start++) { /* again over what the first left */
        lh_swtpm *swtpm = NULL;
        assert_true(lh_ok(lh_swtpm_start(folder, &swtpm)));
        char path[200];
        snprintf(path, sizeof(path), "swtpm:path=%s/tpm.sock", folder);
        assert_string_equal(lh_swtpm_tcti(swtpm), path);
        for (int client = 0; client < 3; client++)
            assert_int_equal(ask(path + strlen("swtpm:path=")), 0); /* started up: not TPM_RC_INITIALIZE */
        struct pollfd poller = {.fd = lh_swtpm_pidfd(swtpm), .events = POLLIN};
        assert_int_equal(poll(&poller, 1, 0), 0);
        lh_swtpm_free(swtpm);
    }
    remove_folder(folder);
}

static void refusals(void **state)
{
    (void)state;
    lh_swtpm *swtpm = NULL;
    char deep[200];
    memset(deep, 'x', sizeof(deep) - 1);
    deep[0] = '/';
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(lh_swtpm_start(deep, &swtpm).code, LH_E_LIMIT);
    assert_int_equal(lh_swtpm_start("/no/such/folder", &swtpm).code, LH_E_IO);
    char folder[] = "/tmp/leasehold-swtpm-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char state_file[100];
    snprintf(state_file, sizeof(state_file), "%s/tpm2-00.permall", folder);
    FILE *f = fopen(state_file, "we");
    assert_non_null(f);
    fputs("not a TPM's state", f);
    fclose(f);
    lh_err err = lh_swtpm_start(folder, &swtpm);
    assert_int_equal(err.code, LH_E_TPM);
    assert_non_null(strstr(lh_err_last()->message, "swtpm.log"));
    assert_null(swtpm);
    lh_swtpm_free(NULL);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_and_outlives_its_clients),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
