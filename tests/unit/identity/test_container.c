/* Containers by their cgroups' names: those that runtimes make, and those that others might. */
#include "identity/pods.h"
#include "identity/procfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "0f3c5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50"
#define POD_ "0f3c5a1e_7b1d_4c6e_9f00_4b1c2d3e4f50"

static void containers_of_runtimes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum lh_container_runtime runtime;
        const char *pod;
    } cases[] = {
        {"/docker/" ID, LH_CONTAINER_DOCKER, ""},
        {"/docker/" ID "/init.scope", LH_CONTAINER_DOCKER, ""},
        {"/docker/" ID "/system.slice/payments-api.service", LH_CONTAINER_DOCKER, ""},
        {"/system.slice/docker-" ID ".scope", LH_CONTAINER_DOCKER, ""},
        {"/libpod_parent/libpod-" ID, LH_CONTAINER_PODMAN, ""},
        {"/machine.slice/libpod-" ID ".scope/container", LH_CONTAINER_PODMAN, ""},
        {"/kubepods/burstable/pod" POD "/" ID, LH_CONTAINER_KUBERNETES, POD},
        {"/kubepods/besteffort/pod" POD "/crio-" ID, LH_CONTAINER_CRIO, POD},
        {"/kubepods/pod" POD "/" ID, LH_CONTAINER_KUBERNETES, POD},
        {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_ ".slice/cri-containerd-" ID
         ".scope",
            LH_CONTAINER_CONTAINERD, POD},
        {"/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" ID ".scope/x", LH_CONTAINER_CRIO, POD},
        {"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod"
         "0123456789abcdef0123456789abcdef.slice/docker-" ID ".scope",
            LH_CONTAINER_DOCKER, "0123456789abcdef0123456789abcdef"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        enum lh_container_runtime runtime = LH_CONTAINER_NONE;
        char id[LH_IDENTITY_CONTAINER_SIZE] = "x";
        char pod[LH_IDENTITY_POD_SIZE] = "x";
        if (!lh_proc_container_parse(cases[i].path, &runtime, id, pod))
            print_error("%s\n", cases[i].path);
        assert_int_equal(runtime, cases[i].runtime);
        assert_string_equal(id, ID);
        assert_string_equal(pod, cases[i].pod);
    }
}

/* Names that a user's own manager, a container, or a misread rule could bring forth. */
static void no_containers(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "/system.slice/payments-api.service",
        "/user.slice/user-1000.slice/user@1000.service/docker-" ID ".scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
        "/user.slice/user-1000.slice/user@1000.service/docker/" ID,
        "/user.slice/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" ID ".scope",
        "/system.slice/docker-" ID ".service",
        "/system.slice/docker-" ID ".scope.service",
        "/system.slice/mydocker-" ID ".scope",
        "/system.slice/docker-" ID "0.scope",
        "/system.slice/x.service/docker-" ID ".scope",
        "/docker/0123456789abcdef",
        "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "/docker/" ID "x",
        "/docker//" ID,
        "/dockers/" ID,
        "/machine.slice/machine-x.scope",
        "/kubepods/guaranteed/pod" POD "/" ID,
        "/kubepods/pod" POD,
        "/kubepods/pod" POD "/x",
        "/kubepods/pod" POD_ "/" ID,
        "/kubepods.slice/kubepods-pod" POD ".slice/crio-" ID ".scope",
        "/kubepods.slice/kubepods-burstable-pod" POD_ ".slice/crio-" ID ".scope",
        "/kubepods.slice/kubepods-pod" POD_ ".slice/" ID,
        "/kubepods.slice/kubepods-pod" POD_ ".slice/evil-" ID ".scope",
        "/kubepods/podXYZc5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50/" ID,
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(paths); i++) {
        enum lh_container_runtime runtime = LH_CONTAINER_DOCKER;
        char id[LH_IDENTITY_CONTAINER_SIZE] = "x";
        char pod[LH_IDENTITY_POD_SIZE] = "x";
        if (lh_proc_container_parse(paths[i], &runtime, id, pod))
            print_error("%s\n", paths[i]);
        assert_int_equal(runtime, LH_CONTAINER_NONE);
        assert_string_equal(id, "");
        assert_string_equal(pod, "");
    }
}

/* A container that runs a system manager of its own: a unit there is none of the host's. */
static void a_unit_in_a_container_is_no_unit(void **state)
{
    (void)state;
    char unit[LH_IDENTITY_UNIT_SIZE];
    assert_false(lh_proc_unit_parse("/docker/" ID "/system.slice/payments-api.service", unit, sizeof(unit)));
    assert_false(lh_proc_unit_parse(
        "/user.slice/user-1000.slice/user@1000.service/app.slice/payments-api.service", unit, sizeof(unit)));
    assert_false(lh_proc_unit_parse("/system.slice/docker-" ID ".scope", unit, sizeof(unit)));
}

/* --- labels of pods ---------------------------------------------------------------------------------------
 */

static char folder[64];
static char path[128];

static void write_file(const char *text, mode_t mode)
{
    char new[160];
    (void)snprintf(new, sizeof(new), "%s.new", path);
    FILE *file = fopen(new, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(new, mode), 0);
    assert_int_equal(rename(new, path), 0);
}

static void labels_follow_the_file(void **state)
{
    (void)state;
    LH_AUTO(lh_pods_file_freep) lh_pods_file *file = NULL;
    assert_true(lh_ok(lh_pods_file_new(path, &file)));
    char labels[LH_IDENTITY_POD_LABELS_SIZE] = "x";
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, "pods-file");
    write_file("pods:\n  " POD ": { tier: backend, app: payments, example.org/x: y }\n", 0644);
    assert_true(lh_ok(lh_pods_file_labels(file, POD, labels)));
    assert_string_equal(labels, "app=payments\nexample.org/x=y\ntier=backend\n");
    assert_true(lh_ok(lh_pods_file_labels(file, "0123456789abcdef0123456789abcdef", labels)));
    assert_string_equal(labels, "");
    write_file("pods: { " POD ": { app: other } }\n", 0600);
    assert_true(lh_ok(lh_pods_file_labels(file, POD, labels)));
    assert_string_equal(labels, "app=other\n");
    write_file("pods: { " POD ": { app: mine } }\n", 0666); /* anybody may write it */
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    write_file("pods: [\n", 0644);
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    write_file("pods: {}\n", 0644);
    assert_true(lh_ok(lh_pods_file_labels(file, POD, labels)));
    assert_string_equal(labels, "");
    assert_int_equal(chmod(folder, 0777), 0); /* anybody may replace it */
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* does not keep us waiting */
    assert_int_equal(lh_pods_file_labels(file, POD, labels).code, LH_E_ATTESTATION);
    assert_int_equal(unlink(path), 0);
}

static void bad_pods_are_refused(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "pod: {}\n",
        "pods: []\n",
        "pods: { nonsense: { a: b } }\n",
        "pods: { " POD ": [] }\n",
        "pods: { " POD ": { \"a b\": c } }\n",
        "pods: { " POD ": { a: \"b=c\" } }\n",
        "pods: { " POD ": { a/: b } }\n",
        "pods: { " POD ": { a: b }, " POD ": { a: c } }\n",
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(documents); i++) {
        lh_pods *pods = NULL;
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_err err = lh_pods_parse(LH_BYTES_STR(documents[i]), "pods", &pods, &problems);
        if (lh_ok(err))
            print_error("%s\n", documents[i]);
        assert_int_equal(err.code, LH_E_INVALID);
        assert_true(problems.errors > 0);
        lh_problems_clear(&problems);
    }
    /* More labels than fit. */
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(65536);
    lh_buf_printf(&doc, "pods:\n  " POD ":\n");
    for (int i = 0; i < 16; i++)
        lh_buf_printf(&doc, "    label-%d: %060d\n", i, 1);
    lh_pods *pods = NULL;
    LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
    assert_int_equal(lh_pods_parse(lh_buf_bytes(&doc), "pods", &pods, &problems).code, LH_E_INVALID);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/lh-pods-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/pods.yaml", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_of_runtimes),
        cmocka_unit_test(no_containers),
        cmocka_unit_test(a_unit_in_a_container_is_no_unit),
        cmocka_unit_test(labels_follow_the_file),
        cmocka_unit_test(bad_pods_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
